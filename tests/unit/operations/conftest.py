"""A stack on moto with one task, its file, a subscription, a failed delivery and a provider."""

import json

import pytest
from tests.support.aws import REGION, client, put
from tests.unit.cli.conftest import no_embedded_aws, operated, stack  # noqa: F401 - fixtures

from tunehook.deliveries import DeliveryStatus, new_delivery
from tunehook.operations.stack import Stack, find_stack
from tunehook.tasks import Format

FILE = "results/suno/task-1/c/audio.mp3"
ASSET = {"clip_id": "c", "type": "audio", "status": "archived", "key": FILE, "bytes": 9}


@pytest.fixture
def found(operated: None) -> Stack:  # noqa: F811 - the fixture
    ended = {"status": "completed", "event_id": "evt_1", "detected_at_ms": 1, "archived_at_ms": 7}
    put("TasksTable", {"task_id": "task-1", "provider": "suno", "assets": [ASSET], **ended})
    put("SubscriptionsTable", {"subscription_id": "sub-1", "url": "https://x.example/hook"})
    s3 = client("s3")
    s3.create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": REGION})
    manifest = json.dumps({"assets": [ASSET]}).encode()
    s3.put_object(Bucket="results", Key="results/suno/task-1/manifest.json", Body=manifest)
    s3.put_object(Bucket="results", Key=FILE, Body=b"the-bytes")
    entry = {"kind": "suno", "base_url": "http://127.0.0.1:9", "api_key": "sk-0123456789abcdef0123"}
    client("secretsmanager").put_secret_value(SecretId="providers", SecretString=json.dumps({"suno": entry}))
    found = find_stack(lambda service, **_: client(service), "tunehook")
    failed = new_delivery(
        event_id="evt_1",
        subscription_id="sub-1",
        task_id="task-1",
        provider="suno",
        type="task.completed",
        event_at_ms=1,
        format=Format.STANDARD,
        payload="{}",
        now_ms=1,
    )
    update = {"delivery_id": "msg_1", "status": DeliveryStatus.FAILED, "next_attempt_at_ms": None}
    found.deliveries.create(failed.model_copy(update=update))
    return found

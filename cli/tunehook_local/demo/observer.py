"""The demonstration from outside: tells of tasks, and reads the table, the bucket, the receivers' requests."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tunehook.aws.items import from_attributes, to_attributes
from tunehook_local.embedded.state import LocalEnvironment
from tunehook_local.sandbox.model import Phase


@dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    """A webhook as a receiver got it."""

    receiver: str
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    def is_signed_with(self, secret: str) -> bool:
        try:
            Webhook(secret).verify(self.body, self.headers)
        except WebhookVerificationError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class StoredFile:
    key: str
    size: int
    content_type: str
    sha256: str


class Observer:
    """Reads the deployed stack and the sandbox with boto3 and HTTP alone."""

    def __init__(self, environment: LocalEnvironment, sandbox_url: str) -> None:
        outputs = environment.outputs()
        self._dynamodb = environment.client("dynamodb")
        self._s3 = environment.client("s3")
        self._tasks_table = outputs["TasksTable"]
        self._bucket = outputs["ResultsBucket"]
        self._sandbox = httpx.Client(base_url=sandbox_url, trust_env=False, timeout=5.0)

    def begin_song(self, provider: str, task_id: str, age_s: int, callback_url: str | None) -> None:
        """Have a sandbox provider make a song, since `age_s`, as an application does with the provider's own API."""
        new = {"kind": provider, "task_id": task_id, "age_s": age_s, "callback_url": callback_url}
        self._sandbox.post("/control/tasks", json=new).raise_for_status()

    def put_task(self, task: dict[str, str]) -> None:
        """Put a task into the table, as any user of DynamoDB would."""
        self._dynamodb.put_item(
            TableName=self._tasks_table, Item={name: {"S": value} for name, value in task.items()}
        )

    def post_task(self, api_url: str, key: str, task: dict[str, str]) -> None:
        """Put a task by the HTTP API, as an application without any AWS credentials does."""
        headers = {"authorization": f"Bearer {key}"}
        url = f"{api_url}/v1/tasks"
        httpx.post(url, json=task, headers=headers, trust_env=False, timeout=30.0).raise_for_status()

    def callbacks(self, task_id: str) -> list[int | None]:
        """Return how the stack has answered the callbacks about a task's end, the oldest first; None is no answer."""
        entries = (
            self._sandbox.get("/control/callbacks", params={"task_id": task_id}).raise_for_status().json()
        )
        return [entry["status"] for entry in entries if Phase(entry["moment"]).final]

    def task(self, provider: str, task_id: str) -> dict[str, Any]:
        key = to_attributes({"task_id": task_id, "provider": provider})
        answer = self._dynamodb.get_item(TableName=self._tasks_table, Key=key, ConsistentRead=True)
        return from_attributes(answer.get("Item", {}))

    def keys(self, provider: str, task_id: str) -> list[str]:
        listing = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=f"results/{provider}/{task_id}/")
        return [entry["Key"] for entry in listing.get("Contents", ())]

    def files(self, provider: str, task_id: str) -> list[StoredFile]:
        """Return a task's objects, with the digests of the bytes that are there."""
        files = []
        for key in self.keys(provider, task_id):
            answer = self._s3.get_object(Bucket=self._bucket, Key=key)
            data = answer["Body"].read()
            digest = hashlib.sha256(data).hexdigest()
            files.append(StoredFile(key, len(data), answer["ContentType"], digest))
        return files

    def received(self) -> list[ReceivedWebhook]:
        entries = self._sandbox.get("/control/received").raise_for_status().json()
        return [ReceivedWebhook(entry["name"], entry["headers"], entry["body"].encode()) for entry in entries]

    def download(self, link: str) -> bytes:
        """Fetch the file of a webhook's link, without any credentials."""
        return httpx.get(link, trust_env=False, timeout=10.0).raise_for_status().content

"""API keys, callback URLs and signing secrets appear nowhere but in the stack's own secrets."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator

from tests.stack.calling import Api, callback_path, create_key
from tests.stack.driving import DeployedStack, begin_ended, eventually, webhooks_about
from tests.stack.watching import logged

from tunehook_local.embedded.state import Home
from tunehook_local.sandbox import Sandbox


def readable(value: bytes) -> str:
    """Return what an attribute of bytes says: the document of an answer is kept compressed."""
    try:
        return zlib.decompress(value).decode()
    except zlib.error:
        return value.decode("latin-1")


def everything_seen(stack: DeployedStack, home: Home, sandbox: Sandbox) -> Iterator[str]:
    """Yield all that users, receivers and log readers get to see."""
    yield from logged(stack, home)
    dynamodb, s3 = stack.client("dynamodb"), stack.client("s3")
    for table in (
        "TasksTable",
        "SubscriptionsTable",
        "DeliveriesTable",
        "PollerLeasesTable",
        "ProviderStatesTable",
        "SecretVersionsTable",
        "ApiKeysTable",
        "ApiRequestsTable",
        "CallbackHintsTable",
    ):
        for page in dynamodb.get_paginator("scan").paginate(TableName=stack.outputs[table]):
            yield json.dumps(page["Items"], default=readable)
    bucket = stack.outputs["ResultsBucket"]
    for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        yield s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read().decode("utf-8", "replace")
    for request in sandbox.received():
        yield f"{request.headers} {request.body!r}"


def test_keys_and_secrets_are_in_no_log_item_object_or_webhook(
    stack: DeployedStack, home: Home, sandbox: Sandbox, main_secret: str, unique: str
) -> None:
    providers = sandbox.providers_secret()
    troubled = {
        "refused": providers["suno"] | {"api_key": f"wrong-key-{unique}"},
        "unreachable": providers["suno"]
        | {"api_key": f"unreachable-key-{unique}", "base_url": "http://127.0.0.1:9"},
        "unusable": {"kind": "suno", "base_url": "no url", "api_key": f"unusable-key-{unique}"},
    }
    with stack.configured(providers | troubled):
        for name in troubled:
            stack.put("TasksTable", task_id=f"secret-{unique}", provider=name)
        begin_ended(sandbox, "suno", f"secret-{unique}")
        stack.put("TasksTable", task_id=f"secret-{unique}", provider="suno")
        eventually(lambda: webhooks_about(sandbox, "main", f"secret-{unique}"))
        eventually(lambda: "last_error" in stack.task(f"secret-{unique}", "unusable"))
        assert "providers.unusable.base_url" in stack.task(f"secret-{unique}", "unusable")["last_error"]
    secrets = [entry["api_key"] for entry in (providers | troubled).values()]
    secrets += [main_secret, main_secret.removeprefix("whsec_"), stack.master_secret()]

    for text in everything_seen(stack, home, sandbox):
        for secret in secrets:
            assert secret not in text


def test_keys_of_the_api_and_what_callbacks_are_known_by_are_nowhere_either(
    stack: DeployedStack, home: Home, sandbox: Sandbox, main_secret: str, unique: str
) -> None:
    called, hook = f"called-{unique}", f"hook-{unique}"
    secret = f"callback-secret-{unique}"
    configured = sandbox.providers_secret()
    entry = configured["suno"] | {
        "api_key": f"sandbox-key-{unique}",
        "callback_secret": secret,
        "callback_scheme": "header",
    }
    keys = {scope: create_key(stack, f"{scope}-{unique}", scope) for scope in ("write", "admin")}
    api, admin = Api(stack, keys["write"]), Api(stack, keys["admin"])
    with stack.configured(configured | {called: entry}):
        path = callback_path(stack, called)
        body = {"prompt": "rain", "api_key": entry["api_key"], "notify_hook": f"{stack.api_url}{path}"}
        submission = {"provider": called, "action": "music", "body": body}
        once = {"idempotency-key": f"once-{unique}"}
        first, second = (api("POST", "/v1/submissions", submission, once) for _ in range(2))
        assert (first.status, second.status) == (201, 201), (first, second)
        task_id = first.json["task_id"]
        for header in (secret, f"{secret}-forged"):
            told = Api(stack)("POST", path, {"data": {"task_id": task_id}}, {"x-webhook-secret": header})
            assert told.status == 200
        created = admin("POST", "/v1/subscriptions", {"url": sandbox.receiver_url(hook)})
        assert created.status == 201, created
        assert stack.ended_task(task_id, called)["status"] == "completed"
        eventually(lambda: webhooks_about(sandbox, "main", task_id))
        refused = Api(stack, keys["admin"][:-1])("GET", "/v1/status")
        assert refused.status == 403
    secrets = [
        *keys.values(),
        *(key.rpartition("_")[2] for key in keys.values()),
        path.rpartition("/")[2],
        secret,
        entry["api_key"],
        main_secret,
        stack.master_secret(),
        created.json["signing_secret"],
    ]

    for text in everything_seen(stack, home, sandbox):
        for each in secrets:
            assert each not in text, text

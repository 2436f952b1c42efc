"""API keys and signing secrets appear nowhere but in the stack's own secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.stack.driving import DeployedStack, begin_ended, eventually, webhooks_about

from tunehook_local.embedded.logs import lines
from tunehook_local.embedded.state import Home
from tunehook_local.sandbox import Sandbox


def everything_seen(stack: DeployedStack, home: Home, sandbox: Sandbox) -> Iterator[str]:
    """Yield all that users, receivers and log readers get to see."""
    yield home.log.read_text(errors="replace")
    yield from (str(line) for line in lines(home, stack.environment, None))
    dynamodb, s3 = stack.client("dynamodb"), stack.client("s3")
    for table in (
        "TasksTable",
        "SubscriptionsTable",
        "DeliveriesTable",
        "PollerLeasesTable",
        "ProviderStatesTable",
        "ApiKeysTable",
        "ApiRequestsTable",
        "CallbackHintsTable",
    ):
        for page in dynamodb.get_paginator("scan").paginate(TableName=stack.outputs[table]):
            yield json.dumps(page["Items"])
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

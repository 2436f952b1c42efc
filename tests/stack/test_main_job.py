"""A task id put into the table ends as files in S3 and signed webhooks."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from tests.stack.driving import DeployedStack, begin_ended, eventually, webhooks_about

from tunehook.signatures import derive_secret, notify_hook_subscription_id
from tunehook_local.sandbox import ReceivedRequest, Sandbox


def verified(request: ReceivedRequest, secret: str) -> Any:
    return Webhook(secret).verify(request.body, request.headers)


@pytest.mark.parametrize(
    ("provider", "names"),
    [
        ("musicmint", {"audio.mp3", "cover.jpg"}),
        ("qhaigc", {"audio.mp3", "cover.jpg"}),
        ("suno", {"audio.mp3", "cover.jpg", "large_cover.jpg"}),
    ],
)
def test_a_task_of_each_provider_ends_as_files_and_a_signed_webhook(
    stack: DeployedStack, sandbox: Sandbox, main_secret: str, unique: str, provider: str, names: set[str]
) -> None:
    task_id = f"{provider}-{unique}"
    begin_ended(sandbox, provider, task_id)
    stack.put("TasksTable", task_id=task_id, provider=provider)

    item = stack.ended_task(task_id, provider)
    (request,) = eventually(lambda: webhooks_about(sandbox, "main", task_id))

    assert item["status"] == "completed"
    keys = stack.keys(provider, task_id)
    assert f"results/{provider}/{task_id}/manifest.json" in keys
    assert {key.rpartition("/")[2] for key in keys} - {"manifest.json"} == names
    told = verified(request, main_secret)
    assert told["type"] == "task.completed"
    assert told["data"]["provider"] == provider


def test_the_links_in_a_webhook_lead_to_the_bytes_that_the_provider_served(
    stack: DeployedStack, sandbox: Sandbox, main_secret: str, unique: str
) -> None:
    task_id = f"links-{unique}"
    begin_ended(sandbox, "qhaigc", task_id)
    stack.put("TasksTable", task_id=task_id, provider="qhaigc")
    (request,) = eventually(lambda: webhooks_about(sandbox, "main", task_id))

    clips = verified(request, main_secret)["data"]["clips"]
    served = {clip["clip_id"]: clip for clip in stack.task(task_id, "qhaigc")["clips"]}
    assert len(clips) == 2
    for clip in clips:
        (audio,) = [asset for asset in clip["assets"] if asset["type"] == "audio"]
        kept = httpx.get(audio["url"], trust_env=False).content
        original = httpx.get(served[clip["clip_id"]]["audio_url"], trust_env=False).content
        assert hashlib.sha256(kept).hexdigest() == audio["sha256"]
        assert kept == original


def test_a_task_that_the_provider_fails_is_told_with_its_reason(
    stack: DeployedStack, sandbox: Sandbox, main_secret: str, unique: str
) -> None:
    task_id = f"failing-{unique}"
    begin_ended(sandbox, "suno", task_id, phase="failed", reason="the content filter said no")
    stack.put("TasksTable", task_id=task_id, provider="suno")
    (request,) = eventually(lambda: webhooks_about(sandbox, "main", task_id))

    told = verified(request, main_secret)
    assert told["type"] == "task.failed"
    assert told["data"]["failure"] == {"code": "provider_failed", "reason": "the content filter said no"}


def test_the_hook_named_on_a_task_is_told_and_signed_with_its_own_secret(
    stack: DeployedStack, sandbox: Sandbox, unique: str
) -> None:
    task_id, hook = f"hooked-{unique}", sandbox.receiver_url(f"hook-{unique}")
    begin_ended(sandbox, "musicmint", task_id)
    stack.put("TasksTable", task_id=task_id, provider="musicmint", notify_hook=hook)
    (request,) = eventually(lambda: webhooks_about(sandbox, f"hook-{unique}", task_id))

    secret = derive_secret(stack.master_secret(), notify_hook_subscription_id(hook), 1)
    assert verified(request, secret)["type"] == "task.completed"


def test_what_the_user_wrote_as_metadata_comes_back(
    stack: DeployedStack, sandbox: Sandbox, main_secret: str, unique: str
) -> None:
    task_id = f"metadata-{unique}"
    begin_ended(sandbox, "musicmint", task_id)
    metadata = {"order": 17, "customer": "Ämilie", "ratio": 0.5, "nested": {"list": [True, None]}}
    stack.put("TasksTable", task_id=task_id, provider="musicmint", metadata=metadata)
    (request,) = eventually(lambda: webhooks_about(sandbox, "main", task_id))

    assert verified(request, main_secret)["data"]["metadata"] == metadata


def test_a_task_put_again_runs_again(
    stack: DeployedStack, sandbox: Sandbox, main_secret: str, unique: str
) -> None:
    task_id = f"again-{unique}"
    begin_ended(sandbox, "musicmint", task_id)
    stack.put("TasksTable", task_id=task_id, provider="musicmint")
    (first,) = eventually(lambda: webhooks_about(sandbox, "main", task_id))
    stack.put("TasksTable", task_id=task_id, provider="musicmint")
    both = eventually(lambda: found if len(found := webhooks_about(sandbox, "main", task_id)) > 1 else None)

    assert {request.headers["webhook-id"] for request in both} > {first.headers["webhook-id"]}


def test_a_webhook_that_is_refused_comes_again_with_the_same_id(
    stack: DeployedStack, sandbox: Sandbox, unique: str
) -> None:
    task_id, hook = f"refused-{unique}", sandbox.receiver_url("refuses-once")
    begin_ended(sandbox, "musicmint", task_id)
    stack.put("TasksTable", task_id=task_id, provider="musicmint", notify_hook=hook)
    first, second = eventually(
        lambda: found if len(found := webhooks_about(sandbox, "refuses-once", task_id)) > 1 else None,
    )

    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]

import json
from typing import Any

import pytest
from tests.support.aws import client, items, put

from tunehook.signatures import derive_secret, notify_hook_subscription_id

HOOK = "http://127.0.0.1:9000/hook"
SECRET = derive_secret("m" * 64, notify_hook_subscription_id(HOOK), 1)


def test_a_task_is_put_with_its_key_alone(tunehook: Any, stack: None) -> None:
    result = tunehook("submit", "suno", "task-1")
    assert (result.exit_code, result.output) == (0, "Submitted task-1 of suno.\n")
    assert items("TasksTable") == [{"task_id": "task-1", "provider": "suno"}]


def test_a_task_is_put_with_what_was_asked_for(tunehook: Any, stack: None) -> None:
    result = tunehook(
        "submit", "suno", "task-1", "--notify-hook", HOOK, "--notify-format", "cloudevents",
        "--timeout", "90", "--metadata", "order=7", "--metadata", "note=a=b",
    )  # fmt: skip
    assert result.exit_code == 0
    assert items("TasksTable") == [
        {
            "task_id": "task-1",
            "provider": "suno",
            "notify_hook": HOOK,
            "notify_format": "cloudevents",
            "timeout_s": 90,
            "metadata": {"order": "7", "note": "a=b"},
        }
    ]


def test_the_secret_of_a_notify_hook_is_printed_once(tunehook: Any, stack: None) -> None:
    result = tunehook("submit", "suno", "task-1", "--notify-hook", HOOK)
    assert result.output.count(SECRET) == 1


def test_json_holds_the_task_and_the_secret(tunehook: Any, stack: None) -> None:
    result = tunehook("submit", "suno", "task-1", "--notify-hook", HOOK, "--json")
    told = json.loads(result.stdout)
    assert (told["task_id"], told["provider"], told["status"]) == ("task-1", "suno", "new")
    assert (told["notify_hook"], told["notify_format"]) == (HOOK, "standard")
    assert (told["signing_secret"], told["replaced_status"]) == (SECRET, None)


def test_without_a_notify_hook_the_master_secret_is_not_read(tunehook: Any, stack: None) -> None:
    client("secretsmanager").delete_secret(SecretId="master", ForceDeleteWithoutRecovery=True)
    assert tunehook("submit", "suno", "task-1").exit_code == 0
    result = tunehook("submit", "suno", "task-2", "--notify-hook", HOOK)
    assert (result.exit_code, result.stderr) == (2, "tunehook: the secret master is not there\n")
    assert len(items("TasksTable")) == 1


def test_a_task_that_is_submitted_again_begins_anew(tunehook: Any, stack: None) -> None:
    put("TasksTable", {"task_id": "task-1", "provider": "suno", "status": "failed", "clips": []})
    result = tunehook("submit", "suno", "task-1")
    assert result.stdout == "Submitted task-1 of suno again (it was failed).\n"
    assert items("TasksTable") == [{"task_id": "task-1", "provider": "suno"}]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("suno", " "), "TASK_ID: must not be blank, begin or end with space, or hold control characters"),
        (("my gw", "t"), "PROVIDER: must be 1 to 64 letters, digits, dots, underscores or hyphens"),
        (("suno", "t", "--notify-hook", "ftp://x"), "--notify-hook: the scheme must be https or http"),
        (
            ("suno", "t", "--notify-format", "xml"),
            "--notify-format: must be one of standard, provider, cloudevents",
        ),
        (("suno", "t", "--timeout", "59"), "--timeout: must lie between 60 and 604800"),
        (("suno", "t", "--metadata", "order"), "--metadata: must be KEY=VALUE"),
        (("suno", "t", "--metadata", "=7"), "--metadata: must be KEY=VALUE"),
        (("suno", "t", "--metadata", "k=" + "x" * 2100), "--metadata: is 2108 bytes of JSON, more than 2048"),
    ],
)
def test_a_bad_option_is_refused_by_its_name(
    tunehook: Any, stack: None, args: tuple[str, ...], complaint: str
) -> None:
    result = tunehook("submit", *args)
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")
    assert items("TasksTable") == []


def test_the_network_policy_of_the_stack_counts(tunehook: Any, stack: None, deploy: Any) -> None:
    deploy("strict", network_policy="public")
    result = tunehook("submit", "suno", "t", "--notify-hook", HOOK, "--stack", "strict")
    assert result.stderr == "tunehook: --notify-hook: the scheme must be https\n"

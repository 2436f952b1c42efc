import json
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError
from tests.support.aws import Faulty, client, fault, items, put

from tunehook.signatures import derive_secret, notify_hook_subscription_id

HOOK = "http://127.0.0.1:9000/hook"
SECRET = derive_secret("m" * 64, notify_hook_subscription_id(HOOK), 1)
ENTRY = {"kind": "suno", "base_url": "https://suno.example", "api_key": "sk-0123456789"}


@pytest.fixture(autouse=True)
def _configured(providers: Any) -> None:
    providers(json.dumps({"suno": ENTRY, "my-gateway": ENTRY}))


def ids() -> list[str]:
    return sorted(item["task_id"] for item in items("TasksTable"))


def test_a_task_is_put_with_its_key_alone(tunehook: Any) -> None:
    result = tunehook("submit", "suno", "task-1")
    assert (result.exit_code, result.output) == (0, "Submitted task-1 of suno.\n")
    assert items("TasksTable") == [{"task_id": "task-1", "provider": "suno"}]


def test_a_task_is_put_with_what_was_asked_for(tunehook: Any) -> None:
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


def test_the_secret_of_a_notify_hook_is_printed_once(tunehook: Any) -> None:
    result = tunehook("submit", "suno", "task-1", "--notify-hook", HOOK)
    assert result.output.count(SECRET) == 1


def test_json_holds_the_task_and_the_secret(tunehook: Any) -> None:
    result = tunehook("submit", "suno", "task-1", "--notify-hook", HOOK, "--json")
    told = json.loads(result.stdout)
    assert (told["task_id"], told["provider"], told["status"]) == ("task-1", "suno", "new")
    assert (told["notify_hook"], told["notify_format"]) == (HOOK, "standard")
    assert (told["signing_secret"], told["replaced_status"]) == (SECRET, None)


def test_without_a_notify_hook_the_master_secret_is_not_read(tunehook: Any) -> None:
    client("secretsmanager").delete_secret(SecretId="master", ForceDeleteWithoutRecovery=True)
    assert tunehook("submit", "suno", "task-1").exit_code == 0
    result = tunehook("submit", "suno", "task-2", "--notify-hook", HOOK)
    assert (result.exit_code, result.stderr) == (2, "tunehook: the secret master is not there\n")
    assert len(items("TasksTable")) == 1


def test_a_task_that_is_submitted_again_begins_anew(tunehook: Any) -> None:
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
def test_a_bad_option_is_refused_by_its_name(tunehook: Any, args: tuple[str, ...], complaint: str) -> None:
    result = tunehook("submit", *args)
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")
    assert items("TasksTable") == []


def test_the_network_policy_of_the_stack_counts(tunehook: Any, deploy: Any) -> None:
    deploy("strict", network_policy="public")
    result = tunehook("submit", "suno", "t", "--notify-hook", HOOK, "--stack", "strict")
    assert result.stderr == "tunehook: --notify-hook: the scheme must be https\n"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("my-gatway", "my-gatway: did you mean my-gateway? Configured: my-gateway, suno"),
        ("SUNO", "SUNO: did you mean suno? Configured: my-gateway, suno"),
        ("xyz", "xyz. Configured: my-gateway, suno"),
    ],
)
def test_a_provider_that_does_not_exist_is_refused_with_those_that_do(
    tunehook: Any, name: str, says: str
) -> None:
    result = tunehook("submit", name, "task-1")
    assert (result.exit_code, result.stdout, result.stderr) == (
        2,
        "",
        f"tunehook: PROVIDER: there is no provider {says} (--anyway submits it nevertheless)\n",
    )
    assert items("TasksTable") == []


def test_without_any_provider_it_says_that_there_is_none(tunehook: Any, providers: Any) -> None:
    providers("{}")
    result = tunehook("submit", "suno", "task-1")
    assert "there is no provider suno: none is configured" in result.stderr
    assert items("TasksTable") == []


def test_a_provider_that_is_to_come_can_be_named_anyway(tunehook: Any, calls: list[str]) -> None:
    result = tunehook("submit", "later", "task-1", "--anyway")
    assert (result.exit_code, result.output) == (0, "Submitted task-1 of later.\n")
    assert "secretsmanager:GetSecretValue" not in calls


def test_a_provider_whose_entry_cannot_be_used_exists(tunehook: Any, providers: Any) -> None:
    providers(json.dumps({"suno": ENTRY | {"base_url": "ftp://x"}}))
    assert tunehook("submit", "suno", "task-1").exit_code == 0


def without_secrets(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    denied = Faulty(client("secretsmanager"), get_secret_value=[error])
    monkeypatch.setattr(
        "tunehook.aws.clients.client",
        lambda service, **_: denied if service == "secretsmanager" else client(service),
    )


def test_who_may_not_read_the_providers_gets_a_note(tunehook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    without_secrets(monkeypatch, fault("AccessDeniedException", "GetSecretValue"))
    result = tunehook("submit", "my-gatway", "task-1", "--json")
    assert (result.exit_code, json.loads(result.stdout)["task_id"]) == (0, "task-1")
    assert result.stderr == (
        "You may not read the providers' secret, so it is unknown whether my-gatway is configured.\n"
    )
    assert ids() == ["task-1"]


def test_another_fault_of_the_secret_is_an_error(tunehook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    without_secrets(monkeypatch, fault("InternalServiceError", "GetSecretValue"))
    assert tunehook("submit", "suno", "task-1").exit_code == 2
    assert items("TasksTable") == []


def test_many_tasks_are_submitted_each_once(tunehook: Any) -> None:
    put("TasksTable", {"task_id": "c", "provider": "suno", "status": "cancelled"})
    result = tunehook("submit", "suno", "a", "b", "a", "c", "--metadata", "order=7")
    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        ["Submitted a of suno.", "Submitted b of suno.", "Submitted c of suno again (it was cancelled)."],
    )
    assert ids() == ["a", "b", "c"]
    assert all(item["metadata"] == {"order": "7"} for item in items("TasksTable"))


def test_lines_of_standard_input_are_ids(tunehook: Any) -> None:
    result = tunehook("submit", "suno", "-", input="\ufeffa\r\n\n  b \na\n\t\n我的\n")
    assert result.exit_code == 0
    assert ids() == ["a", "b", "我的"]


def test_standard_input_and_arguments_go_together(tunehook: Any) -> None:
    assert tunehook("submit", "suno", "x", "-", input="a\nx\n").exit_code == 0
    assert ids() == ["a", "x"]


@pytest.mark.parametrize(
    ("given", "says"),
    [("\n \n", "standard input has no task id"), (b"a\n\xff\n", "standard input is not UTF-8")],
    ids=["empty", "bytes"],
)
def test_standard_input_that_names_nothing_is_an_error(tunehook: Any, given: Any, says: str) -> None:
    result = tunehook("submit", "suno", "-", input=given)
    assert (result.exit_code, result.stderr) == (2, f"tunehook: TASK_ID: {says}\n")
    assert items("TasksTable") == []


@pytest.mark.parametrize(("args", "given"), [(("a", "b"), None), (("-",), "a\nb\n"), (("-",), "a\n")])
def test_json_of_many_is_a_list(tunehook: Any, args: tuple[str, ...], given: str | None) -> None:
    result = tunehook("submit", "suno", *args, "--notify-hook", HOOK, "--json", input=given)
    listed = json.loads(result.stdout)
    assert [each["task_id"] for each in listed] == ids()
    assert {each["signing_secret"] for each in listed} == {SECRET}


def test_the_secret_of_their_hook_is_printed_once(tunehook: Any) -> None:
    result = tunehook("submit", "suno", "a", "b", "--notify-hook", HOOK)
    assert result.stdout.splitlines()[-1] == f"Signing secret of their notify hook: {SECRET}"
    assert result.stdout.count(SECRET) == 1


def test_one_bad_id_of_many_is_named_and_none_is_submitted(tunehook: Any) -> None:
    result = tunehook("submit", "suno", "a", "b\x07", "c")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "tunehook: TASK_ID: 'b\\x07' must not be blank, begin or end with space, or hold control characters\n"
    )
    assert "is longer than 256 characters" in tunehook("submit", "suno", "a", "x" * 257).stderr
    assert items("TasksTable") == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (fault("AccessDeniedException", "PutItem"), ["Not submitted: b, c."]),
        (
            ConnectTimeoutError(endpoint_url="https://dynamodb.example.com"),
            ["Perhaps submitted: b.", "Not submitted: c."],
        ),
        (KeyboardInterrupt(), ["Perhaps submitted: b.", "Not submitted: c."]),
    ],
    ids=["refused", "no answer", "ctrl-c"],
)
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_what_breaks_off_says_which_were_submitted(
    tunehook: Any,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    says: list[str],
    options: tuple[str, ...],
) -> None:
    faulty = Faulty(client("dynamodb"), put_item=[None, error])
    monkeypatch.setattr(
        "tunehook.aws.clients.client",
        lambda service, **_: faulty if service == "dynamodb" else client(service),
    )
    result = tunehook("submit", "suno", "a", "b", "c", *options)
    assert result.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 2)
    assert result.stderr.splitlines()[: len(says) + 1] == ["Submitted 1 of 3 tasks: a.", *says]
    submitted = (
        [each["task_id"] for each in json.loads(result.stdout)]
        if options
        else [line.split()[1] for line in result.stdout.splitlines()]
    )
    assert submitted == ids() == ["a"]

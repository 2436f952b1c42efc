"""What every listing looks like: in any width from 40 columns, in any encoding of stdout."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len
from tests.support.aws import REGION, client, put
from typer.testing import CliRunner, Result

from tunehook.aws.deliveries import DeliveriesTable
from tunehook.deliveries import Attempt, Delivery, DeliveryStatus, message_for, new_delivery
from tunehook.operations.checks import Finding, State
from tunehook.tasks import Format
from tunehook_cli import output
from tunehook_local.main import app

NOW_MS = 1_800_000_000_000
TASK = "0b7c6f6e-4a2e-4d0c-9d57-7b1f0b1a2c3d"
SUBSCRIPTION = "sub_0123456789abcdef"
URL = "https://hooks.example.com/very/long/path/of/a/receiver/that/has/a/name"
TITLE = "春天 🎵 naïve"
LETTER = {"detail-type": "TaskCompleted", "detail": {"provider": "musicmint", "task_id": TASK}}


@pytest.fixture
def delivery(operated: None) -> Delivery:
    """A stack with one of everything, whose words are long or in no western encoding."""
    task = {
        "task_id": TASK,
        "provider": "musicmint",
        "status": "completed",
        "event_id": "evt_1",
        "submitted_at_ms": NOW_MS,
        "detected_at_ms": NOW_MS + 200_000,
        "archived_at_ms": NOW_MS + 201_000,
        "metadata": {"title": TITLE},
        "clips": [{"clip_id": TASK, "title": TITLE, "text": f"{TITLE}\nla la la"}],
    }
    asset = {
        "clip_id": TASK,
        "type": "audio",
        "status": "archived",
        "key": f"results/musicmint/{TASK}/{TASK}/audio.mp3",
        "bytes": 3_200_000,
        "content_type": "audio/mpeg",
    }
    put("TasksTable", task | {"assets": [asset]})
    put("TasksTable", {"task_id": "任务", "provider": "suno", "status": "pending", "last_error": TITLE * 9})
    put(
        "SubscriptionsTable",
        {
            "subscription_id": SUBSCRIPTION,
            "url": URL,
            "description": TITLE,
            "providers": ["musicmint", "suno"],
        },
    )
    put("SubscriptionsTable", {"subscription_id": "unusable", "url": "ftp://x"})
    s3 = client("s3")
    s3.create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": REGION})
    manifest = json.dumps({"assets": [asset]}).encode()
    s3.put_object(Bucket="results", Key=f"results/musicmint/{TASK}/manifest.json", Body=manifest)
    config = {"kind": "suno", "base_url": URL, "api_key": "sk-0123456789abcdef0123"}
    client("secretsmanager").put_secret_value(
        SecretId="providers", SecretString=json.dumps({"gateway": config})
    )
    client("sqs").send_message(
        QueueUrl=client("sqs").get_queue_url(QueueName="fulfillment-dead")["QueueUrl"],
        MessageBody=json.dumps(LETTER),
    )
    made = new_delivery(
        event_id="evt_1",
        subscription_id=SUBSCRIPTION,
        task_id=TASK,
        provider="musicmint",
        type="task.completed",
        event_at_ms=NOW_MS,
        format=Format.STANDARD,
        payload="{}",
        now_ms=NOW_MS,
    )
    table = DeliveriesTable(client("dynamodb"), "DeliveriesTable")
    table.create(made)
    attempt = Attempt(run=1, attempt=1, at_ms=NOW_MS, duration_ms=5, status_code=503, excerpt=TITLE * 9)
    table.record(
        message_for(made), status=DeliveryStatus.PENDING, attempt=attempt, next_attempt_at_ms=NOW_MS + 9_000
    )
    return made


def is_link(line: str) -> bool:
    """Return whether a line is a link or one of a request's body, which can be copied only as they are."""
    return line.startswith(("https://results.s3", '  "timestamp": "'))


Screens = Callable[..., dict[tuple[str, ...], Result]]


@pytest.fixture
def screens(tunehook: Any, delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> Screens:
    """Return what runs every command that lists or shows something."""
    found = [
        Finding("dead letters", State.WARN, f"{TITLE} {TASK}", f"`tunehook dlq list fulfillment` {TITLE}"),
        Finding("credentials", State.OK, "arn:aws:iam::123456789012:user/" + "x" * 60),
    ]
    monkeypatch.setattr("tunehook.operations.checks.examine", lambda *_: iter(found))
    all_of_them = [
        ("tasks", "list"),
        ("tasks", "show", TASK),
        ("results", TASK),
        ("subscriptions", "list"),
        ("subscriptions", "show", SUBSCRIPTION),
        ("deliveries", "list"),
        ("deliveries", "show", delivery.delivery_id),
        ("providers", "list"),
        ("dlq", "list"),
        ("status",),
        ("doctor",),
    ]

    def run(*options: str, charset: str = "utf-8", **env: str) -> dict[tuple[str, ...], Result]:
        runner = CliRunner(charset=charset, env=env)
        results = {each: runner.invoke(app, [*each, *options], prog_name="tunehook") for each in all_of_them}
        for command, result in results.items():
            assert result.exception is None or isinstance(result.exception, SystemExit), command
            assert result.exit_code == 0, (command, result.stderr)
        return results

    return run


@pytest.mark.parametrize("width", [40, 80, 120])
def test_nothing_is_wider_than_the_terminal_and_no_id_is_cut(
    screens: Screens, delivery: Delivery, width: int
) -> None:
    results = screens(COLUMNS=str(width))
    for command, result in results.items():
        lines = result.stdout.splitlines()
        # A link can be copied only as one line.
        assert all(cell_len(line) <= width or is_link(line) for line in lines), (command, result.stdout)
        assert lines == [line.rstrip() for line in lines], command
        assert "…" not in result.stdout.replace("… and", ""), command
    named = {
        ("tasks", "list"): [TASK],
        ("tasks", "show", TASK): [TASK],
        ("subscriptions", "list"): [SUBSCRIPTION],
        ("subscriptions", "show", SUBSCRIPTION): [SUBSCRIPTION],
        ("deliveries", "list"): [delivery.delivery_id],
        ("deliveries", "show", delivery.delivery_id): [delivery.delivery_id, TASK, SUBSCRIPTION],
    }
    for command, names in named.items():
        for name in names:
            whole = name in results[command].stdout
            folded = name in "".join(line.strip() for line in results[command].stdout.splitlines())
            assert whole if len(name) <= width - 4 else folded, (command, results[command].stdout)
    listed = results["subscriptions", "list"].stdout.splitlines()
    # In a table it is folded in its column.
    column = max(listed[0].find("URL"), 0)
    assert URL in "".join(line[column:].strip() for line in listed)


@pytest.mark.parametrize("charset", ["ascii", "latin-1", "cp1252", "gb18030"])
def test_what_an_encoding_lacks_is_written_out_and_still_fits(screens: Screens, charset: str) -> None:
    results = screens(charset=charset, COLUMNS="60")
    for command, result in results.items():
        lines = result.stdout.splitlines()
        assert all(cell_len(line) <= 60 or is_link(line) for line in lines), command
    shown = results["tasks", "show", TASK].stdout
    assert (TITLE if charset == "gb18030" else "\\u6625\\u5929 \\U0001f3b5") in shown


@pytest.mark.parametrize("charset", ["utf-8", "ascii", "cp1252"])
def test_json_is_the_same_in_every_encoding_and_alone_on_stdout(screens: Screens, charset: str) -> None:
    results = screens("--json", charset=charset)
    documents = {command: json.loads(result.stdout) for command, result in results.items()}
    assert documents["tasks", "show", TASK]["clips"][0]["title"] == TITLE
    assert documents["doctor",][0]["words"] == f"{TITLE} {TASK}"
    if charset != "utf-8":
        assert all(result.stdout.isascii() for result in results.values())


def test_an_error_is_told_in_every_encoding(tunehook: Any, stack: None) -> None:
    result = CliRunner(charset="ascii").invoke(app, ["tasks", "show", "春"], prog_name="tunehook")
    assert (result.exit_code, result.stderr) == (2, "tunehook: TASK_ID: there is no task \\u6625\n")


def test_bytes_that_are_no_text_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    output.prepare_streams()
    output.print_json({"name": "\udcff"})
    output.Output(as_json=False).table(["NAME"], [["\udcff"]])
    assert json.loads(capsys.readouterr().out.split("\nNAME")[0]) == {"name": "\udcff"}


def test_a_table_that_has_no_room_is_a_block_a_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    headers = ("TASK", "PROVIDER", "STATUS", "TOOK", "REMARK")
    output.Output(as_json=False).table(
        headers, [(TASK, "suno", "failed", None, "x" * 50), ("t", "suno", "new", None, TASK)]
    )
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        TASK,
        "  provider   suno",
        "  status     failed",
        "  remark",
        f"    {'x' * 36}",
        f"    {'x' * 14}",
        "t",
        "  provider   suno",
        "  status     new",
        "  remark",
        f"    {TASK}",
    ]

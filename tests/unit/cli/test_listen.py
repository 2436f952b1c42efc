import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from tests.support.aws import Faulty, client, fault, items, put
from typer.testing import Result

from tunehook.signatures import derive_secret, sign
from tunehook_cli.stack import Stack

TABLE = "SubscriptionsTable"
BODY = json.dumps(
    {"type": "task.completed", "timestamp": "2026-11-20T16:01:57.123Z", "data": {"task_id": "我的\x9b31m"}}
).encode()

Driver = Callable[[dict[str, Any]], None]
Listen = Callable[..., Result]


@pytest.fixture
def listen(tunehook: Any, stack: None, monkeypatch: pytest.MonkeyPatch) -> Listen:
    """Return what runs `tunehook listen`, and a driver beside it that is given the subscription, until that ends."""
    monkeypatch.setattr(Stack, "is_on_this_machine", True)

    def run(driver: Driver, *args: str, ended_by: signal.Signals = signal.SIGTERM) -> Result:
        failures: list[BaseException] = []
        over = threading.Event()

        def drive() -> None:
            until = time.monotonic() + 10
            try:
                while not (found := [each for each in items(TABLE) if "description" in each]):
                    assert not over.is_set(), "it has ended"
                    assert time.monotonic() < until, "nothing was subscribed"
                    time.sleep(0.02)
                driver(found[0])
            except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
                failures.append(error)
            finally:
                # Afterwards nobody would catch it.
                if not over.is_set():
                    os.kill(os.getpid(), ended_by)

        thread = threading.Thread(target=drive)
        thread.start()
        result: Result = tunehook("listen", "--port", "0", *args)
        over.set()
        thread.join()
        if failures:
            raise failures[0]
        return result

    return run


def post(
    item: dict[str, Any],
    body: bytes = BODY,
    *,
    secret: str | None = None,
    url: str | None = None,
    **headers: str,
) -> httpx.Response:
    secret = secret or derive_secret("m" * 64, item["subscription_id"], 1)
    now_s = int(time.time())
    signed = {
        "content-type": "application/json; charset=utf-8",
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": sign("msg_1", now_s, body, [secret]),
    }
    return httpx.post(url or item["url"], content=body, headers=signed | headers, trust_env=False)


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_what_is_signed_is_verified_and_taken(listen: Listen) -> None:
    answers = []
    result = listen(lambda item: answers.append(post(item).status_code), "--json")
    (line,) = lines(result)
    assert answers == [204]
    assert (line["verified"], line["problem"], line["answer"], line["times"]) == (True, None, 204, 1)
    assert line["body"].encode() == BODY
    assert line["headers"]["webhook-id"] == "msg_1"


def test_it_subscribes_itself_and_is_gone_at_the_end(listen: Listen) -> None:
    seen: list[dict[str, Any]] = []
    result = listen(seen.append)
    (item,) = seen
    assert item["url"].startswith("http://127.0.0.1:")
    assert items(TABLE) == []
    assert derive_secret("m" * 64, item["subscription_id"], 1) in result.stderr
    assert f"Removed the subscription {item['subscription_id']}.\n" in result.stderr
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", httpx.URL(item["url"]).port)) != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_way_of_ending_it_removes_the_subscription(listen: Listen, number: signal.Signals) -> None:
    result = listen(lambda item: None, ended_by=number)
    assert (result.exit_code, items(TABLE)) == (0, [])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"secret": derive_secret("m" * 64, "another", 1)}, "No matching signature found"),
        ({"webhook-timestamp": "1700000000"}, "Message timestamp too old"),
        ({"webhook-signature": ""}, "Missing required headers"),
        ({"webhook-signature": "v1"}, "The signature cannot be read"),
        ({"webhook-signature": "v1,A"}, "The signature cannot be read"),
        ({"webhook-id": "msg_2"}, "No matching signature found"),
        ({"body": b"\xff\xfe"}, None),
    ],
)
def test_what_is_forged_is_shown_as_invalid_and_refused(
    listen: Listen, change: dict[str, Any], problem: str | None
) -> None:
    answers = []
    result = listen(lambda item: answers.append(post(item, **change).status_code))
    assert answers == [401]
    assert "INVALID" in result.stdout
    assert "verified" not in result.stdout
    assert (problem or "The signature cannot be read") in result.stdout


def test_what_arrives_is_printed_for_people_and_steers_no_terminal(listen: Listen) -> None:
    out = listen(lambda item: post(item)).stdout
    assert "verified  task.completed  msg_1, " in out
    assert "answered 204" in out
    assert '\n    "task_id": "我的\\x9b31m"\n' in out
    assert "\x9b" not in out


def test_a_webhook_says_whether_its_files_are_there(listen: Listen) -> None:
    body = json.dumps({"type": "task.completed", "data": {"archive": "pending"}}).encode()
    assert " archive pending, " in listen(lambda item: post(item, body=body)).stdout


def test_a_webhook_that_comes_again_is_told_from_a_new_one(listen: Listen) -> None:
    def twice(item: dict[str, Any]) -> None:
        post(item)
        post(item)

    assert [line["times"] for line in lines(listen(twice, "--json"))] == [1, 2]


def test_a_body_in_the_gateways_own_form_is_shown_by_its_status(listen: Listen) -> None:
    seen: list[dict[str, Any]] = []

    def drive(item: dict[str, Any]) -> None:
        seen.append(item)
        post(item, b'{"status": "SUCCESS"}')

    assert "verified  task SUCCESS" in listen(drive, "--format", "provider").stdout
    assert seen[0]["format"] == "provider"


class Target(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        self.send_response(429)
        self.send_header("Retry-After", "17")
        self.send_header("Webhook-Delivery", "abort-message")
        self.send_header("Set-Cookie", "a=b")
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"busy")

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def target() -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), Target)
    server.got = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_is_verified_is_forwarded_as_it_came_and_its_answer_counts(listen: Listen) -> None:
    answers = []
    with target() as server:
        url = f"http://127.0.0.1:{server.server_port}/hook?x=1"
        mine = {"user-agent": "tunehook/9", "accept-encoding": "identity", "x-token": "t"}
        result = listen(lambda item: answers.append(post(item, **mine)), "--forward", url, "--json")
        ((path, headers, body),) = server.got
    (line,) = lines(result)
    assert (path, body) == ("/hook?x=1", BODY)
    kept = {name.lower(): value for name, value in headers.items()}
    for name, value in line["headers"].items():
        if name not in ("host", "connection"):
            assert kept[name] == value
    assert kept["host"] == f"127.0.0.1:{server.server_port}"
    (answer,) = answers
    assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (429, "busy", "17")
    assert answer.headers["webhook-delivery"] == "abort-message"
    assert "set-cookie" not in answer.headers
    assert (line["answer"], line["forwarded"]) == (429, f"HTTP 429 from {url}")


def test_what_is_forged_is_not_forwarded(listen: Listen) -> None:
    with target() as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        listen(lambda item: post(item, secret=derive_secret("m" * 64, "another", 1)), "--forward", url)
        assert server.got == []


def test_a_target_that_is_not_there_is_a_bad_gateway(listen: Listen) -> None:
    answers = []
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    result = listen(
        lambda item: answers.append(post(item).status_code), "--forward", f"http://127.0.0.1:{port}/"
    )
    assert answers == [502]
    assert f"forwarded: ConnectError at http://127.0.0.1:{port}/" in result.stdout


def test_an_error_in_the_middle_removes_the_subscription(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(arrival: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tunehook_cli.arrivals.print_arrival", show)

    def drive(item: dict[str, Any]) -> None:
        # The signal that follows may find nobody who would catch it.
        monkeypatch.setattr(os, "kill", lambda *_: None)
        post(item)

    result = listen(drive)
    assert isinstance(result.exception, ZeroDivisionError)
    assert items(TABLE) == []


def test_what_a_killed_listener_left_behind_is_taken_over(tunehook: Any, listen: Listen) -> None:
    seen: list[dict[str, Any]] = []
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    listen(seen.append, "--port", port)
    put(
        TABLE,
        {name: value for name, value in seen[0].items() if name != "description"} | {"secret_version": 7},
    )
    listen(seen.append, "--port", port)
    assert seen[0] == seen[1]
    assert items(TABLE) == []


def test_a_subscription_that_cannot_be_made_is_tried_to_be_taken_back(
    listen: Listen, tunehook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubled = Faulty(client("dynamodb"), put_item=[fault("AccessDeniedException", "PutItem")])
    monkeypatch.setattr(
        "tunehook.aws.clients.client",
        lambda service, **_: troubled if service == "dynamodb" else client(service),
    )
    result = tunehook("listen", "--port", "0")
    assert result.exit_code == 2
    assert result.stderr.startswith("tunehook: AWS denies PutItem")
    assert [name for name, _ in troubled.calls] == ["put_item", "delete_item"]


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://127.0.0.1:4566", True),
        ("http://localhost:4566", True),
        ("http://[::1]:4566", True),
        ("https://dynamodb.eu-west-1.amazonaws.com", False),
        ("http://127.0.0.1.example.com", False),
    ],
)
def test_a_stack_is_on_this_machine_if_its_aws_is(endpoint: str, expected: bool) -> None:
    dynamodb = SimpleNamespace(meta=SimpleNamespace(endpoint_url=endpoint))
    stack = Stack("s", "r", outputs={}, parameters={}, open_client=lambda _: dynamodb)
    assert stack.is_on_this_machine is expected


def test_a_stack_on_aws_is_reached_by_a_tunnel_alone(tunehook: Any, stack: None) -> None:
    result = tunehook("listen")
    assert (result.exit_code, result.output) == (
        2,
        "tunehook: --url: the stack tunehook in eu-west-1 cannot reach this machine's loopback: let a tunnel lead "
        "to http://127.0.0.1:4581, and give its public https URL\n",
    )
    assert items(TABLE) == []


def test_the_url_of_a_tunnel_is_what_is_subscribed(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "is_on_this_machine", False)
    seen: list[dict[str, Any]] = []
    result = listen(seen.append, "--url", "https://tunnel.example/x")
    assert seen[0]["url"] == "https://tunnel.example/x"
    assert "with https://tunnel.example/x.\n" in result.stderr
    assert items(TABLE) == []


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("--url", "tunnel.example"), "--url: the scheme must be https or http"),
        (("--forward", "localhost:3000"), "--forward: the scheme must be https or http"),
        (("--format", "xml"), "--format: must be one of standard, provider, cloudevents"),
    ],
)
def test_a_bad_option_is_refused_by_its_name(
    tunehook: Any, stack: None, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], complaint: str
) -> None:
    monkeypatch.setattr(Stack, "is_on_this_machine", True)
    result = tunehook("listen", "--port", "0", *args)
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")
    assert items(TABLE) == []


def test_a_port_in_use_is_one_line(tunehook: Any, stack: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "is_on_this_machine", True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = tunehook("listen", "--port", str(port))
    complaint = f"port {port} of 127.0.0.1 is in use: choose another with --port"
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")
    assert items(TABLE) == []

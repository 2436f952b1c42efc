import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from tests.support.aws import Faulty, client, fault, items, put
from tests.support.patience import HANG_S, until
from typer.testing import Result

from tunehook.operations.stack import Stack
from tunehook.signatures import derive_secret, sign
from tunehook.times import now_ms
from tunehook_cli import listener
from tunehook_cli.stack import is_on_this_machine

TABLE = "SubscriptionsTable"
BODY = json.dumps(
    {"type": "task.completed", "timestamp": "2026-11-20T16:01:57.123Z", "data": {"task_id": "我的\x9b31m"}}
).encode()

Driver = Callable[[dict[str, Any]], None]
Listen = Callable[..., Result]


@pytest.fixture
def listen(tunehook: Any, stack: None, monkeypatch: pytest.MonkeyPatch) -> Listen:
    """Return what runs `tunehook listen`, and a driver beside it that is given the subscription, until that ends."""
    monkeypatch.setattr("tunehook_cli.commands.listen.is_on_this_machine", lambda _: True)

    def run(driver: Driver, *args: str, ended_by: signal.Signals = signal.SIGTERM) -> Result:
        failures: list[BaseException] = []
        over = threading.Event()

        def subscribed() -> list[dict[str, Any]]:
            assert not over.is_set(), "it has ended"
            return [each for each in items(TABLE) if "description" in each]

        def drive() -> None:
            try:
                found = until(subscribed, "a subscription")
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
    now_s = now_ms() // 1000
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
    out = listen(lambda item: post(item), "--verbose").stdout
    assert "verified  task.completed  我的\\x9b31m  answered 204\n" in out
    assert '\n    "task_id": "我的\\x9b31m"\n' in out
    assert "\x9b" not in out


def test_a_webhook_is_one_line_with_what_it_is_about(listen: Listen) -> None:
    clips = [{"title": "春天"}, {"title": "春天"}, {"title": "Rain"}, {"title": None}]
    about = {"provider": "my-gw", "task_id": "t-1", "archive": "complete", "clips": clips}
    body = json.dumps({"type": "task.completed", "data": about}).encode()

    def twice(item: dict[str, Any]) -> None:
        post(item, body)
        post(item, body)

    first, second = listen(twice).stdout.splitlines()
    assert first[8:] == "  verified  task.completed  my-gw t-1  春天, Rain  answered 204"
    assert second[8:] == (
        "  verified  task.completed  my-gw t-1  春天, Rain  duplicate (received 2 times), answered 204"
    )


def test_a_sample_and_long_titles_are_told_in_the_line(listen: Listen) -> None:
    about = {"task_id": "t-1", "sample": True, "clips": [{"title": "x" * 99}]}
    body = json.dumps({"type": "task.completed", "data": about}).encode()
    (line,) = listen(lambda item: post(item, body)).stdout.splitlines()
    assert line[8:] == f"  verified  task.completed  t-1  {'x' * 59}…  sample, answered 204"


def test_events_can_be_chosen(listen: Listen) -> None:
    seen: list[dict[str, Any]] = []
    listen(seen.append, "--event", "task.archived", "--event", "task.failed")
    assert seen[0]["events"] == ["task.archived", "task.failed"]


def test_an_event_that_is_none_is_refused_by_the_option(tunehook: Any, stack: None, monkeypatch: Any) -> None:
    monkeypatch.setattr("tunehook_cli.commands.listen.is_on_this_machine", lambda _: True)
    result = tunehook("listen", "--port", "0", "--event", "task.done")
    assert (result.exit_code, items(TABLE)) == (2, [])
    assert result.stderr.startswith("tunehook: --event: must be among task.completed, ")


def test_a_webhook_says_whether_its_files_are_there(listen: Listen) -> None:
    body = json.dumps({"type": "task.completed", "data": {"archive": "pending"}}).encode()
    assert "  archive pending, " in listen(lambda item: post(item, body=body)).stdout


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


class OnIPv6(HTTPServer):
    address_family = socket.AF_INET6


@contextmanager
def target(kind: type[HTTPServer] = HTTPServer, host: str = "127.0.0.1") -> Iterator[Any]:
    server: Any = kind((host, 0), Target)
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


def test_what_belongs_to_one_connection_is_not_forwarded(listen: Listen) -> None:
    """A tunnel before the listener adds such headers; a server that is asked to expect something waits for it."""
    hop_by_hop = {
        "connection": "keep-alive, x-of-the-tunnel",
        "x-of-the-tunnel": "1",
        "keep-alive": "timeout=5",
        "te": "trailers",
        "trailer": "x-a",
        "proxy-connection": "keep-alive",
        "proxy-authorization": "Basic abc",
        "expect": "100-continue",
        "upgrade": "h2c",
    }
    answers = []
    with target() as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        listen(lambda item: answers.append(raw_post(item, **hop_by_hop)), "--forward", url)
        ((_, headers, body),) = server.got
    assert answers == [429]
    assert body == BODY
    assert not hop_by_hop.keys() & {name.lower() for name in headers}


def raw_post(item: dict[str, Any], **headers: str) -> int:
    """What a client says that does not wait for ``100 Continue``, and any header goes out of."""
    now_s = now_ms() // 1000
    signed = {
        "host": "listener",
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": sign(
            "msg_1", now_s, BODY, [derive_secret("m" * 64, item["subscription_id"], 1)]
        ),
        "content-length": str(len(BODY)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**signed, **headers}.items())
    url = httpx.URL(item["url"])
    with socket.create_connection((url.host, url.port)) as peer:
        peer.sendall(f"POST {url.raw_path.decode()} HTTP/1.1\r\n{lines}\r\n".encode() + BODY)
        answer = peer.makefile("rb")
        while (status := int(answer.readline().split()[1])) == 100:
            answer.readline()
    return status


def test_a_target_that_listens_on_the_ipv6_loopback_alone_is_found_by_its_name(listen: Listen) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    answers = []
    with target(OnIPv6, "::1") as server:
        url = f"http://localhost:{server.server_port}/"
        listen(lambda item: answers.append(post(item).status_code), "--forward", url)
    assert answers == [429]


def test_a_forwarded_url_goes_over_the_wire_as_it_was_given(listen: Listen) -> None:
    with target() as server:
        url = f"http://127.0.0.1:{server.server_port}/a;b%2Fc'[d]?x=%7e&y"
        listen(post, "--forward", url)
        ((path, _, _),) = server.got
    assert path == "/a;b%2Fc'[d]?x=%7e&y"


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

    monkeypatch.setattr("tunehook_cli.rendering.webhooks.print_webhook", show)

    def drive(item: dict[str, Any]) -> None:
        # The signal that follows may find nobody who would catch it.
        monkeypatch.setattr(os, "kill", lambda *_: None)
        post(item)

    result = listen(drive)
    assert isinstance(result.exception, ZeroDivisionError)
    assert items(TABLE) == []


class Hanging:
    """A DynamoDB that does not answer to one kind of call, until it is let go."""

    def __init__(self, call: str) -> None:
        self._call = call
        self.asked = threading.Event()
        self._let_go = threading.Event()
        self._answered = threading.Event()

    def let_go(self) -> None:
        self._let_go.set()
        assert self._answered.wait(60)

    def __getattr__(self, name: str) -> Any:
        real = getattr(client("dynamodb"), name)

        def hang(**arguments: Any) -> Any:
            self.asked.set()
            self._let_go.wait(60)
            try:
                return real(**arguments)
            finally:
                self._answered.set()

        return hang if name == self._call else real


def hang(call: str, monkeypatch: pytest.MonkeyPatch) -> Hanging:
    hanging = Hanging(call)
    monkeypatch.setattr(
        "tunehook.aws.clients.client",
        lambda service, **_: hanging if service == "dynamodb" else client(service),
    )
    return hanging


def test_a_second_ctrl_c_ends_it_though_the_subscription_is_not_removed_and_says_so(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = hang("delete_item", monkeypatch)
    try:

        def drive(item: dict[str, Any]) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            assert hanging.asked.wait(HANG_S)

        # The second one follows the driver.
        result = listen(drive, ended_by=signal.SIGINT)
        (item,) = items(TABLE)
    finally:
        hanging.let_go()
    assert result.exit_code == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith(f"tunehook: ended before the subscription {item['subscription_id']} was removed")
    assert f"`tunehook subscriptions delete {item['subscription_id']}`" in line


def test_a_second_ctrl_c_ends_it_though_the_subscription_is_not_made(
    tunehook: Any, stack: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunehook_cli.commands.listen.is_on_this_machine", lambda _: True)
    hanging = hang("put_item", monkeypatch)

    def drive() -> None:
        assert hanging.asked.wait(HANG_S)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=drive)
    thread.start()
    try:
        result = tunehook("listen", "--port", "0")
    finally:
        hanging.let_go()
        thread.join()
    assert result.exit_code == 2
    assert "ended before the subscription" in result.stderr


async def test_being_told_once_more_while_the_subscription_is_removed_in_no_time_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "GRACE_S", 60)
    removed = []

    def unsubscribe() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        removed.append(True)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        await listener.listen(
            listener.Listener(listening, derive_secret("m" * 64, "sub", 1)),
            subscribe=lambda: os.kill(os.getpid(), signal.SIGHUP),
            unsubscribe=unsubscribe,
            show=lambda _: None,
        )
    assert removed == [True]


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
    assert [name for name, _ in troubled.calls] == ["get_item", "put_item", "delete_item"]


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
    assert is_on_this_machine(stack) is expected


def test_a_stack_on_aws_is_reached_by_a_tunnel_alone(tunehook: Any, stack: None) -> None:
    result = tunehook("listen")
    assert (result.exit_code, result.output) == (
        2,
        "tunehook: --url: the stack tunehook in eu-west-1 cannot reach this machine's localhost: use a tunnel (ngrok, "
        "cloudflared) to http://127.0.0.1:4581, and pass its public https URL\n",
    )
    assert items(TABLE) == []


def test_the_url_of_a_tunnel_is_what_is_subscribed(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunehook_cli.commands.listen.is_on_this_machine", lambda _: False)
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
    monkeypatch.setattr("tunehook_cli.commands.listen.is_on_this_machine", lambda _: True)
    result = tunehook("listen", "--port", "0", *args)
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")
    assert items(TABLE) == []


def test_a_port_in_use_is_one_line(tunehook: Any, stack: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunehook_cli.commands.listen.is_on_this_machine", lambda _: True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = tunehook("listen", "--port", str(port))
    complaint = f"port {port} of 127.0.0.1 is in use: choose another with --port"
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")
    assert items(TABLE) == []

"""Checks of endpoints and replays, by the command and the API, over raw sockets on loopback."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.stack.calling import Api, create_key
from tests.stack.commanding import Command
from tests.stack.driving import HANG_S, DeployedStack, eventually
from tests.stack.faults.kills import kill_workers, worker_pids
from tests.unit.http.certificates import server_and_client_contexts

from tunehook.times import from_ms, iso, now_ms
from tunehook_local.embedded.state import Home
from tunehook_local.sandbox import Sandbox

_TLS = b"\x16"
"""The first byte of who wants to speak TLS."""

Answering = Callable[[socket.socket], None]


@contextmanager
def listening(answer: Answering) -> Iterator[str]:
    """Let each connection be answered, after the head of its request has come; give ``127.0.0.1:port``."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection: socket.socket) -> None:
            with connection:
                connection.settimeout(HANG_S)
                with suppress(OSError):
                    answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)


def says(text: str) -> Answering:
    def answer(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
            if head.startswith(_TLS):
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        missing = length - len(head.partition(b"\r\n\r\n")[2])
        while missing > 0:
            missing -= len(connection.recv(65536))
        connection.sendall(f"HTTP/1.1 {text}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())

    return answer


def hangs(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def over_tls(folder: Path, name: str = "receiver.example", *, days_left: int = 1) -> Answering:
    """Take a certificate for a name, of an issuer that nobody knows: itself."""
    folder.mkdir(exist_ok=True)
    context, _ = server_and_client_contexts(folder, name, days_left=days_left)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            says("204 No Content")(tls)

    return answer


@contextmanager
def trusting(stack: DeployedStack, home: Home, bundle: Path) -> Iterator[None]:
    """Have the webhooks function trust the certificates of a file, and no others, for a while."""
    lambdas, function = stack.client("lambda"), stack.outputs["WebhooksFunction"]
    configured = lambdas.get_function_configuration(FunctionName=function)["Environment"]["Variables"]

    def configure(variables: dict[str, str]) -> None:
        before = set(worker_pids(home, function))
        lambdas.update_function_configuration(FunctionName=function, Environment={"Variables": variables})
        # One that was being started meanwhile has the former ones, and would go on.
        kill_workers(home, function)
        eventually(lambda: not before & set(worker_pids(home, function)), every_s=0.1)

    configure(configured | {"SSL_CERT_FILE": str(bundle)})
    try:
        yield
    finally:
        configure(configured)


def late(connection: socket.socket) -> None:
    time.sleep(5.2)
    says("204 No Content")(connection)


@pytest.fixture(scope="module")
def api(stack: DeployedStack) -> Api:
    return Api(stack, create_key(stack, "endpoint-checks", "admin"))


def test_what_is_wrong_with_an_endpoint_is_said_in_words(
    stack: DeployedStack, api: Api, tmp_path: Path, unique: str
) -> None:
    def check(url: str, **fields: object) -> tuple[int, str, str, str]:
        answer = api("POST", "/v1/subscriptions?verify=true", {"url": url, **fields})
        made = answer.json
        assert api("DELETE", f"/v1/subscriptions/{made['subscription_id']}").status == 204
        assert made["check"]["passed"] == (made["state"] == "enabled")
        assert "hush" not in str(made["check"])
        return answer.status, made["state"], made["check"]["code"], made["check"]["message"]

    secret = f"?key=hush-{unique}"
    with listening(says("204 No Content")) as place:
        assert check(f"http://{place}/{secret}")[:3] == (201, "enabled", "ok")
        assert check(f"https://{place}/{secret}")[1:3] == ("disabled", "tls_failed")
    # Nobody listens there any more.
    assert check(f"http://{place}/{secret}")[2] == "connection_refused"
    with listening(says("404 Not Found")) as place:
        assert check(f"http://{place}/{secret}")[2] == "not_found"
    with listening(says("301 Moved\r\nlocation: /there/?key=hush")) as place:
        code, message = check(f"http://{place}/here{secret}")[2:]
        assert (code, f"http://{place}/there/?..." in message) == ("redirect", True)
    with listening(over_tls(tmp_path)) as place:
        assert check(f"https://{place}/{secret}")[2] == "certificate_of_unknown_issuer"
    with listening(hangs) as place:
        assert check(f"http://{place}/{secret}", timeout_s=1)[2] == "timed_out"
    with listening(late) as place:
        assert check(f"http://{place}/{secret}")[1:3] == ("enabled", "slow")
    with listening(says("1 What")) as place:
        assert check(f"http://{place}/{secret}")[2] == "malformed_answer"
    assert check(f"http://nobody-{unique}.invalid/{secret}")[2] == "name_not_resolved"


def test_what_is_wrong_with_a_certificate_is_said_by_the_command(
    stack: DeployedStack, home: Home, tmp_path: Path, unique: str
) -> None:
    tunehook = Command(stack)
    receivers = {
        "ok": over_tls(tmp_path / "valid", "127.0.0.1"),
        "certificate_expired": over_tls(tmp_path / "expired", "127.0.0.1", days_left=-1),
        "certificate_for_another_name": over_tls(tmp_path / "other"),
    }
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"".join(each.read_bytes() for each in tmp_path.glob("*/certificate.pem")))
    # Nobody vouches for this one.
    receivers["certificate_of_unknown_issuer"] = over_tls(tmp_path / "unknown", "127.0.0.1")
    found = {}
    with trusting(stack, home, bundle):
        for code, receiver in receivers.items():
            with listening(receiver) as place:
                made = tunehook("subscribe", f"https://{place}/{unique}", "--verify", "--json")
                found[code] = (made["check"]["code"], made["state"], tunehook.status)
                tunehook("subscriptions", "delete", made["subscription_id"])
    assert found == {
        code: (code, "enabled" if code == "ok" else "disabled", 0 if code == "ok" else 1)
        for code in receivers
    }


def test_a_change_by_the_command_is_made_only_if_the_new_endpoint_answers_well(
    stack: DeployedStack, unique: str
) -> None:
    tunehook = Command(stack)
    with listening(says("204 No Content")) as good, listening(says("410 Gone")) as bad:
        made = tunehook("subscribe", f"http://{bad}/{unique}", "--verify", "--json")
        assert (tunehook.status, made["state"], made["check"]["code"]) == (1, "disabled", "gone")
        name = made["subscription_id"]
        changed = tunehook(
            "subscriptions", "set", name, "--url", f"http://{good}/{unique}", "--verify", "--json"
        )
        assert (tunehook.status, changed["check"]["code"], changed["url"]) == (
            0,
            "ok",
            f"http://{good}/{unique}",
        )
        enabled = tunehook("subscriptions", "enable", name, "--verify", "--json")
        assert (tunehook.status, enabled["enabled"]) == (0, True)
        kept = tunehook("subscriptions", "set", name, "--url", f"http://{bad}/{unique}", "--verify", "--json")
        assert (tunehook.status, kept["check"]["code"], kept["url"]) == (1, "gone", f"http://{good}/{unique}")
        shown = tunehook("subscriptions", "show", name, "--json")
        assert (shown["state"], shown["failing_since"]) == ("enabled", None)
        tunehook("subscriptions", "delete", name)


def test_what_ended_before_a_subscription_was_made_is_replayed_by_the_api_once(
    stack: DeployedStack, sandbox: Sandbox, api: Api, unique: str
) -> None:
    began = iso(from_ms(now_ms() - 1_000))
    names = [f"{unique}-{number}" for number in range(3)]
    for name in names:
        stack.put("TasksTable", task_id=name, provider="suno", metadata={"of": unique, "name": name})
    eventually(lambda: all("archived_at_ms" in stack.task(name, "suno") for name in names) or None)
    url = sandbox.receiver_url(f"replayed-{unique}")
    of_test = {"metadata": {"of": [unique]}}
    made = api("POST", "/v1/subscriptions", {"url": url, "filter": of_test}).json["subscription_id"]
    path, body = f"/v1/subscriptions/{made}/recover", {"since": began, "only_missing": True}
    some = body | {"filter": {"metadata": {"name": names[:2]}}, "providers": ["suno"]}
    counted = api("POST", path, some | {"dry_run": True}).json
    assert (len(counted["made"]), counted["next_cursor"]) == (2, None)
    for _ in range(2):
        cursor, pages = None, 0
        while cursor is not None or not pages:
            page = api(
                "POST", path, some | {"limit": 1} | ({} if cursor is None else {"cursor": cursor})
            ).json
            cursor, pages = page["next_cursor"], pages + 1
    eventually(lambda: api("POST", path, some | {"dry_run": True}).json["made"] == [] or None)
    received = eventually(lambda: got if len(got := _told(sandbox, f"replayed-{unique}")) >= 2 else None)
    assert sorted(received) == names[:2]
    # Of the whole time, one is left, and what came is not asked for again.
    rest = api("POST", path, body).json
    assert not set(rest["made"]) & set(counted["made"])
    received = eventually(lambda: got if len(got := _told(sandbox, f"replayed-{unique}")) >= 3 else None)
    assert sorted(received) == names
    assert api("DELETE", f"/v1/subscriptions/{made}").status == 204


def _told(sandbox: Sandbox, name: str) -> list[str]:
    return [json.loads(each.body)["data"]["task_id"] for each in sandbox.received(name)]

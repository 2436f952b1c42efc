"""What is submitted through a deployed stack is submitted once, whatever is repeated, refused or killed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pytest
from tests.stack.calling import Answer, Api, create_key
from tests.stack.commanding import Command
from tests.stack.driving import HANG_S, DeployedStack, eventually, webhooks_about
from tests.stack.faults.kills import CAN_KILL, kill_workers

from tunehook_local.embedded.state import Home
from tunehook_local.sandbox import Sandbox

PROVIDER = "suno"
BODY = {"prompt": "a song about rain", "mv": "chirp-v4"}


@pytest.fixture
def api(stack: DeployedStack, sandbox: Sandbox, unique: str) -> Api:
    return Api(stack, create_key(stack, f"submitter-{unique}", "write"))


def submit(api: Api, key: str | None = None, *, provider: str = PROVIDER, **body: Any) -> Answer:
    headers = {} if key is None else {"idempotency-key": key}
    return api(
        "POST", "/v1/submissions", {"provider": provider, "action": "music", "body": BODY | body}, headers
    )


def test_what_is_submitted_is_watched_at_once_and_told_of(
    stack: DeployedStack, sandbox: Sandbox, api: Api
) -> None:
    answer = submit(api)

    assert answer.status == 201, answer
    task_id = answer.json["task_id"]
    assert stack.ended_task(task_id, PROVIDER)["status"] == "completed"
    assert eventually(lambda: webhooks_about(sandbox, "main", task_id))


def test_the_same_key_submits_once_and_with_another_body_nothing(
    stack: DeployedStack, sandbox: Sandbox, api: Api, unique: str
) -> None:
    before = {record.task_id for record in sandbox.task_records(PROVIDER)}
    first, second = submit(api, f"once-{unique}"), submit(api, f"once-{unique}")
    third = submit(api, f"once-{unique}", prompt="another song")

    assert (first.status, third.status) == (201, 422), (first, third)
    assert (second.status, second.json) == (201, first.json)
    made = {record.task_id for record in sandbox.task_records(PROVIDER)} - before
    assert made == {first.json["task_id"]}


def test_the_command_submits_as_the_api_does(stack: DeployedStack, sandbox: Sandbox, tmp_path: Any) -> None:
    body = tmp_path / "body.json"
    body.write_text(json.dumps(BODY))
    tunehook = Command(stack)

    said = tunehook("submit", PROVIDER, "--body", str(body), "--json")

    assert tunehook.status == 0, tunehook.errors
    assert stack.ended_task(said["task_id"], PROVIDER)["status"] == "completed"


class Provider(ThreadingHTTPServer):
    """A provider that takes submissions and answers none of them until it may: with a refusal that repeats the key."""

    daemon_threads = True

    def __init__(self) -> None:
        self.submissions: list[bytes] = []
        self.came = threading.Event()
        self.may_answer = threading.Event()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                provider.submissions.append(self.rfile.read(int(self.headers["content-length"])))
                provider.came.set()
                provider.may_answer.wait(HANG_S)
                words = f"no credits left of {self.headers['authorization']}"
                body = json.dumps({"code": "quota", "message": words, "data": None}).encode()
                self.send_response(401)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.may_answer.set()
        self.shutdown()
        self.server_close()


@pytest.fixture
def hanging(stack: DeployedStack, sandbox: Sandbox, unique: str) -> Iterator[tuple[str, Provider]]:
    """A provider of that kind and its name."""
    name = f"hangs-{unique}"
    with Provider() as provider:
        url = f"http://127.0.0.1:{provider.server_address[1]}"
        entry = sandbox.providers_secret()[PROVIDER] | {"base_url": url}
        with stack.configured(sandbox.providers_secret() | {name: entry}):
            yield name, provider


def test_a_providers_refusal_is_told_as_its_own_without_the_key(
    api: Api, sandbox: Sandbox, hanging: tuple[str, Provider]
) -> None:
    name, provider = hanging
    provider.may_answer.set()

    answer = submit(api, provider=name)

    assert answer.status == 502, answer
    assert answer.is_problem
    assert answer.json["provider_status"] == 401
    assert "no credits left" in json.dumps(answer.json["provider_body"])
    assert sandbox.providers_secret()[PROVIDER]["api_key"] not in answer.body.decode()


@pytest.mark.skipif(not CAN_KILL, reason="which process is a function's worker can be told on Linux only")
def test_a_submission_whose_function_is_killed_is_never_made_again(
    stack: DeployedStack, home: Home, api: Api, hanging: tuple[str, Provider], unique: str
) -> None:
    name, provider = hanging
    key = f"killed-{unique}"
    with ThreadPoolExecutor(1) as thread:
        cut_off = thread.submit(submit, api, key, provider=name)
        assert provider.came.wait(HANG_S)
        assert kill_workers(home, stack.outputs["ApiFunction"])
        assert cut_off.result().status >= 500
    provider.may_answer.set()

    for _ in range(2):
        again = submit(api, key, provider=name)
        assert again.status == 409, again
        assert again.is_problem
        assert "outcome_unknown" in again.body.decode()
    assert len(provider.submissions) == 1

"""When the light clients try again, and after which pauses, as botocore's `standard` mode has it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.retries.standard import ThrottledRetryableChecker
from tests.support.aws import REGION, session

from tunehook.aws.clients import client
from tunehook.aws.errors import THROTTLED
from tunehook.aws.light import LightClient

CALLS = {"dynamodb": "get_item", "events": "put_events", "sqs": "send_message_batch"}
QUOTA, COST, COST_OF_THROTTLING = 500, 14, 5

Answered = tuple[int, dict[str, Any]]
FINE: Answered = (200, {})
BROKEN: Answered = (500, {})
REFUSED: Answered = (400, {"__type": "x#ValidationException"})


def throttled(code: str = "ThrottlingException") -> Answered:
    return 400, {"__type": f"x#{code}"}


class World:
    """A light client whose requests are answered one after the other, the last answer again and again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, service: str = "dynamodb", **settings: Any) -> None:
        self.pauses: list[float] = []
        monkeypatch.setattr("tunehook.aws.light.sleep", self.pauses.append)
        monkeypatch.setattr("random.random", lambda: 1.0)
        monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
        self.light: LightClient = client(service, **settings)
        self._call = CALLS[service]
        self._answers: list[Answered] = []
        self.bodies: list[bytes] = []
        self.light.meta.events.register_first("before-send", self._answer)

    def _answer(self, request: Any, **_: Any) -> Any:
        self.bodies.append(request.body)
        status, body = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return SimpleNamespace(status_code=status, headers={}, content=json.dumps(body).encode())

    def tries(self, answers: Iterable[Answered], **request: Any) -> int:
        """Make a call, and return how often it was tried."""
        self._answers, before = [*answers], len(self.bodies)
        try:
            getattr(self.light, self._call)(**request)
        except ClientError as error:
            self.last = error
        return len(self.bodies) - before


@pytest.mark.parametrize(
    ("service", "answer", "pauses"),
    [
        ("dynamodb", BROKEN, [0.025, 0.05, 0.1]),
        ("events", BROKEN, [0.05, 0.1, 0.2]),
        ("sqs", BROKEN, [0.05, 0.1, 0.2]),
        *[(service, throttled(), [1, 2, 4]) for service in CALLS],
    ],
)
def test_the_pauses_before_the_next_tries_double(
    monkeypatch: pytest.MonkeyPatch, service: str, answer: Answered, pauses: Sequence[float]
) -> None:
    world = World(monkeypatch, service)
    assert world.tries([answer]) == 4
    assert world.pauses == pytest.approx(pauses)


def test_no_pause_is_longer_than_20_s(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, retries={"mode": "standard", "total_max_attempts": 8})
    world.tries([throttled()])
    assert world.pauses == [1, 2, 4, 8, 16, 20, 20]


def test_a_pause_is_a_random_part_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    monkeypatch.setattr("random.random", lambda: 0.25)
    world.tries([throttled(), FINE])
    assert world.pauses == [0.25]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_trouble_of_the_service_is_tried_again(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    assert World(monkeypatch).tries([(status, {})]) == 4


@pytest.mark.parametrize(
    "code", ["ReplicatedWriteConflictException", "RequestTimeout", "RequestTimeoutException"]
)
def test_so_is_what_may_pass_at_once(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    world = World(monkeypatch)
    assert world.tries([(400, {"__type": code})]) == 4
    assert world.pauses[0] == 0.025


def test_what_counts_as_throttling_is_what_botocore_says_of_these_services() -> None:
    known = set(ThrottledRetryableChecker._THROTTLED_ERROR_CODES)
    assert known - {"EC2ThrottledException"} == THROTTLED


@pytest.mark.parametrize("status", [300, 400, 404, 501, 505])
def test_what_would_be_refused_again_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    world = World(monkeypatch)
    assert world.tries([(status, {"__type": "x#ValidationException"})]) == 1
    assert "MaxAttemptsReached" not in world.last.response["ResponseMetadata"]


def test_the_last_try_says_that_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.tries([BROKEN])
    metadata: Any = world.last.response["ResponseMetadata"]
    assert (metadata["MaxAttemptsReached"], metadata["RetryAttempts"]) == (True, 3)


@pytest.mark.parametrize(("answer", "cost"), [(BROKEN, COST), (throttled(), COST_OF_THROTTLING)])
def test_what_fails_all_the_time_is_retried_as_often_as_the_quota_allows(
    monkeypatch: pytest.MonkeyPatch, answer: Answered, cost: int
) -> None:
    world = World(monkeypatch)
    calls = 120
    assert sum(world.tries([answer]) for _ in range(calls)) == calls + QUOTA // cost


@pytest.mark.parametrize("answer", [BROKEN, throttled()])
def test_a_retry_that_succeeds_costs_nothing_in_the_end(
    monkeypatch: pytest.MonkeyPatch, answer: Answered
) -> None:
    world = World(monkeypatch)
    assert [world.tries([answer, FINE]) for _ in range(120)] == [2] * 120


def test_each_success_at_once_gives_back_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    while world.tries([BROKEN]) > 1:
        pass
    for _ in range(COST - QUOTA % COST - 1):
        world.tries([FINE])
    assert world.tries([BROKEN]) == 1
    world.tries([FINE])
    assert world.tries([BROKEN]) == 2


def test_half_of_a_surrogate_pair_comes_as_python_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.tries([(200, {"Item": {"id": {"S": "\ud800"}}})])
    assert world.light.get_item()["Item"] == {"id": {"S": "\ud800"}}


def test_a_request_has_no_byte_more_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.tries([FINE], TableName="t", Key={"id": {"B": b"a"}})
    assert world.bodies == [b'{"TableName":"t","Key":{"id":{"B":"YQ=="}}}']


@pytest.mark.parametrize(("bundle", "trusted"), [("/authorities.pem", "/authorities.pem"), (None, True)])
def test_the_session_of_threads_has_the_clients_settings_and_sends_at_once(
    monkeypatch: pytest.MonkeyPatch, bundle: str | None, trusted: str | bool
) -> None:
    opened = Mock()
    monkeypatch.setattr("tunehook.aws.light.URLLib3Session", opened)
    proxies = {"https": "http://proxy.example:1"}
    made = session().client(
        "dynamodb",
        region_name=REGION,
        config=Config(
            connect_timeout=3,
            read_timeout=7,
            max_pool_connections=5,
            proxies=proxies,
            retries={"mode": "standard", "total_max_attempts": 4},
        ),
    )
    assert LightClient(made, None, bundle)._http is opened.return_value
    opened.assert_called_once_with(
        verify=trusted,
        proxies=proxies,
        timeout=(3, 7),
        max_pool_connections=5,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )

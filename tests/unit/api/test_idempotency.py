"""Requests with an `Idempotency-Key`, when workers die or are at it at once."""

from __future__ import annotations

import pytest
from tests.support.aws import Faulty, client, fault, items
from tests.unit.api.calling import Api

from api.idempotency import answered_once
from api.problems import Problem
from api.request import Call
from tunehook.api_keys import Scope
from tunehook.aws.api_requests import IN_PROGRESS_MS, Answer, ApiRequests
from tunehook.times import now_ms

BODY = {"a": 1}
DONE = Answer(201, {"done": True})


@pytest.fixture
def call(api: Api) -> Call:
    return Call(api.stack, "k1", Scope.WRITE, lambda: 20.0)


class Work:
    """Counts how often it was done, and whether it was told that it may have been."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.repeated: list[bool] = []

    def __call__(self, *, is_repeated: bool) -> Answer:
        self.repeated.append(is_repeated)
        if self.error is not None:
            raise self.error
        return DONE


def test_without_a_key_it_is_done_each_time(call: Call) -> None:
    work = Work()
    for _ in range(2):
        assert answered_once(call, "POST /x", None, BODY, work, can_repeat=False) == DONE
    assert work.repeated == [False, False]
    assert items("ApiRequestsTable") == []


def test_with_a_key_it_is_done_once_a_route(call: Call) -> None:
    work = Work()
    for route in ("POST /x", "POST /x", "POST /y"):
        assert answered_once(call, route, "k", BODY, work, can_repeat=False) == DONE
    assert work.repeated == [False, False]


def test_while_one_is_at_it_another_is_told_so(call: Call) -> None:
    def work(*, is_repeated: bool) -> Answer:
        with pytest.raises(Problem) as caught:
            answered_once(call, "POST /x", "k", BODY, Work(), can_repeat=False)
        assert (caught.value.status, caught.value.code) == (409, "in_progress")
        assert caught.value.headers["Retry-After"]
        return DONE

    assert answered_once(call, "POST /x", "k", BODY, work, can_repeat=False) == DONE


def test_what_a_dead_worker_has_begun_is_taken_over(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError):
        answered_once(call, "POST /x", "k", BODY, Work(KeyError()), can_repeat=False)
    with pytest.raises(Problem):
        answered_once(call, "POST /x", "k", BODY, Work(), can_repeat=False)
    later = now_ms() + IN_PROGRESS_MS
    monkeypatch.setattr("api.idempotency.now_ms", lambda: later)
    work = Work()
    assert answered_once(call, "POST /x", "k", BODY, work, can_repeat=False) == DONE
    assert work.repeated == [True]


def test_what_can_be_done_twice_can_be_sent_again_at_once(call: Call) -> None:
    with pytest.raises(KeyError):
        answered_once(call, "POST /x", "k", BODY, Work(KeyError()), can_repeat=True)
    work = Work()
    assert answered_once(call, "POST /x", "k", BODY | {"b": 2}, work, can_repeat=True) == DONE
    assert work.repeated == [False]


def test_what_is_done_is_answered_though_it_cannot_be_recorded(call: Call) -> None:
    dynamodb = Faulty(client("dynamodb"), update_item=[None, fault()])
    call.stack.__dict__["api_requests"] = ApiRequests(dynamodb, "ApiRequestsTable")
    assert answered_once(call, "POST /x", "k", BODY, Work(), can_repeat=True) == DONE


def test_what_cannot_be_begun_is_not_done(call: Call) -> None:
    dynamodb = Faulty(client("dynamodb"), update_item=[fault()])
    call.stack.__dict__["api_requests"] = ApiRequests(dynamodb, "ApiRequestsTable")
    work = Work()
    with pytest.raises(type(fault())):
        answered_once(call, "POST /x", "k", BODY, work, can_repeat=True)
    assert work.repeated == []

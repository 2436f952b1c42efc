from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ParamValidationError
from tests.support.aws import fault
from tests.unit.providers.support import config

from tunehook.errors import Misconfigured
from tunehook.http.reply import Reply
from tunehook.operations.probe import Probe, _Recorder, advise, describe_probe, is_known_key, verdict
from tunehook.providers.outcomes import (
    Completed,
    CompletedWithoutResults,
    Failed,
    NotFound,
    Outcome,
    Pending,
    TaskResult,
    Throttled,
    Transient,
    Unauthorised,
)

RESULT = TaskResult(clips=(), submitted_at=None, started_at=None, finished_at=None, provider_object={})


@pytest.mark.parametrize(
    ("outcome", "useful", "words"),
    [
        (Completed(RESULT), True, "completed, with 0 clips"),
        (CompletedWithoutResults(RESULT), True, "completed, but there is no audio, video or text"),
        (Failed("bad lyrics", RESULT), True, "failed at the provider: bad lyrics"),
        (
            Pending("queued", "NEW", known=False),
            True,
            "status NEW, which tunehook does not know",
        ),
        (Pending("queued", ""), True, "no status"),
        (Pending("queued", "NEW", problem="clips.each: too long"), True, "status NEW; clips.each: too long"),
        (CompletedWithoutResults(RESULT, "no rights"), True, "text (yet): no rights"),
        (NotFound(), True, "the provider accepts the key and has no such task"),
        (Throttled(3.0), False, "throttled: the provider is throttling requests, for 3 s"),
        (Unauthorised("no such key"), False, "the provider refuses the key: no such key"),
        (Transient("bad JSON"), False, "no usable response: bad JSON"),
    ],
)
def test_each_outcome_has_words_and_a_verdict(outcome: Outcome, useful: bool, words: str) -> None:
    probe = Probe("task", "HTTP 200, application/json", 0.1, outcome)
    assert words in describe_probe(probe)
    assert probe.useful is useful


@pytest.mark.parametrize(
    ("status", "base_url", "advice"),
    [
        *[
            (
                status,
                "https://gw.example",
                "the base URL leads to a web page: give the API's address, which may be",
            )
            for status in (200, 404, 405)
        ],
        (200, "https://gw.example/de", "give the API's address, usually https://gw.example"),
        *[
            (status, "https://gw.example", "something before the gateway answers")
            for status in (403, 429, 503)
        ],
    ],
)
def test_where_a_page_answers_the_status_says_whose_it_is(status: int, base_url: str, advice: str) -> None:
    probe = Probe("task", "text/html", 0.1, Transient("a page"), status, is_page=True)
    assert advice in (advise(probe, config(base_url=base_url), was_accepted=False) or "")


def test_a_path_that_is_not_there_is_for_the_base_url_or_the_kind() -> None:
    answered = Probe("task", "application/json", 0.1, Transient("no path"), 404)
    told = advise(answered, config(), was_accepted=False)
    assert told == "the gateway has no such path: check the base URL and the kind"
    assert advise(replace(answered, status=500), config(), was_accepted=False) is None


def test_an_id_that_no_request_can_carry_was_not_asked_about() -> None:
    probe = Probe("..", None, 0.0, NotFound())
    assert describe_probe(probe) == "no request: this task id cannot be part of one"
    assert not probe.useful
    assert verdict(probe) == "not known: this task id cannot be part of a request"


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (NotFound(), "ok: the key is accepted"),
        (Pending("queued", "QUEUED"), "ok: the key is accepted"),
        (Unauthorised("no such key", reason="key"), "refused: the provider does not accept the key"),
        (Unauthorised("no credit", reason="credit"), "refused: the account has no credit left"),
        (Throttled(3.0), "not known: the provider is throttling requests"),
        (Transient("bad JSON"), "not known: there was no usable response"),
    ],
)
def test_the_verdict_says_in_plain_words_whether_the_key_is_accepted(outcome: Outcome, said: str) -> None:
    assert verdict(Probe("task", "HTTP 200, application/json", 0.1, outcome)) == said


def stack_on(error: Exception) -> Any:
    """A stack whose table of providers fails so."""

    def get(_provider: str) -> None:
        raise error

    return SimpleNamespace(provider_states=SimpleNamespace(get=get))


def test_a_key_that_cannot_be_looked_up_is_noted_and_not_known() -> None:
    noted: list[str] = []
    assert not is_known_key(stack_on(fault("AccessDenied", "BatchGetItem")), config(), noted.append)
    (words,) = noted
    assert words.startswith("whether the key was accepted before cannot be read: AWS denies BatchGetItem")


def test_a_stack_that_remembers_no_keys_is_not_noted() -> None:
    noted: list[str] = []
    assert not is_known_key(stack_on(Misconfigured("ProviderStatesTable")), config(), noted.append)
    assert noted == []


def test_a_bug_is_not_taken_for_a_key_that_cannot_be_looked_up() -> None:
    with pytest.raises(ParamValidationError):
        is_known_key(stack_on(ParamValidationError(report="x")), config())


@pytest.mark.parametrize(
    ("kind", "body", "is_page"),
    [
        ("text/html; charset=utf-8", b"Just a moment...", True),
        ("text/plain", b" \n<!doctype html>", True),
        ("application/json", b'{"code": "<"}', False),
        (None, b"", False),
    ],
)
async def test_a_page_is_known_by_its_type_or_by_its_beginning(
    kind: str | None, body: bytes, is_page: bool
) -> None:
    headers = {} if kind is None else {"content-type": kind}

    class Answering:
        async def send(self, *_: Any, **__: Any) -> Reply:
            return Reply(200, headers, body, truncated=False)

    recorder = _Recorder(Answering())
    await recorder.send("GET", "https://h/", {}, None, max_bytes=1)
    assert (recorder.is_page, recorder.answer) == (is_page, f"HTTP 200, {kind or 'no content type'}")

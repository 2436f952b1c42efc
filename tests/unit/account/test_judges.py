from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.account import judges
from tests.account.evidence import REFUSING, Evidence, Webhook
from tests.account.judges import Judge
from tests.account.tasks import TASKS
from tests.unit.account.evidence import METRIC_LINE, REDELIVERED, TEXT_REPORT, good_evidence

Spoil = Callable[[Evidence], Any]

FIRST, FAILING, BAD, TOLD = (TASKS[number].task_id for number in (0, 8, 9, 10))
LYRICS = TASKS[7].task_id
A_METRIC = ("Passes", frozenset({("service", "poller")}))
ANOTHER_METRIC = ("Attempts", frozenset({("function_name", "tunehook-smoke-1-webhooks")}))


def change(which: Callable[[Webhook], bool], **fields: Any) -> Spoil:
    """Return what changes some of the webhooks."""

    def spoil(evidence: Evidence) -> None:
        evidence.webhooks = [replace(each, **fields) if which(each) else each for each in evidence.webhooks]

    return spoil


def without(which: Callable[[Webhook], bool]) -> Spoil:
    """Return what takes some of the webhooks away."""

    def spoil(evidence: Evidence) -> None:
        evidence.webhooks = [each for each in evidence.webhooks if not which(each)]

    return spoil


def change_event(task_id: str, **fields: Any) -> Spoil:
    def spoil(evidence: Evidence) -> None:
        evidence.events = [
            replace(each, **fields) if each.task_id == task_id else each for each in evidence.events
        ]

    return spoil


def change_links(**fields: Any) -> Spoil:
    def spoil(evidence: Evidence) -> None:
        evidence.webhooks = [
            replace(each, links=tuple(replace(link, **fields) for link in each.links))
            for each in evidence.webhooks
        ]

    return spoil


def again(evidence: Evidence, **fields: Any) -> None:
    first = next(each for each in evidence.webhooks if each.task_id == FIRST)
    evidence.webhooks = [*evidence.webhooks, replace(first, **fields)]


def lines(function: str, *given: str) -> Spoil:
    return lambda evidence: evidence.log_lines.update({function: [TEXT_REPORT, *given]})


SPOILT: list[tuple[Judge, str, Spoil]] = [
    (judges.tasks_end, "pending", lambda e: e.items.update({FIRST: {"status": "pending"}})),
    (judges.tasks_end, "missing", lambda e: e.items.pop(FIRST)),
    (
        judges.failure_says_why,
        "other words",
        change_event(FAILING, detail={"failure": {"reason": "something"}}),
    ),
    (judges.bad_item_is_refused, "other field", lambda e: e.items.update({BAD: {"error": "task_id: no"}})),
    (judges.events_are_on_the_bus, "none", lambda e: setattr(e, "events", e.events[1:])),
    (judges.events_are_on_the_bus, "another", change_event(FIRST, type="TaskFailed")),
    (judges.events_are_on_the_bus, "schema", change_event(FIRST, fits_schema=False)),
    (
        judges.events_are_on_the_bus,
        "two ids",
        lambda e: setattr(e, "events", [*e.events, replace(e.events[0], event_id="evt_other")]),
    ),
    (judges.results_are_kept, "no object", lambda e: e.objects.popitem()),
    (
        judges.results_are_kept,
        "other bytes",
        lambda e: e.objects.update({key: replace(each, sha256="?") for key, each in e.objects.items()}),
    ),
    (judges.results_are_kept, "no manifest", lambda e: e.manifests.pop(FIRST)),
    (judges.results_are_kept, "not the provider's", lambda e: e.manifests[FIRST]["assets"].pop()),
    (judges.lyrics_are_kept, "no text", lambda e: e.manifests[LYRICS].update(clips=[{"text": None}])),
    (judges.webhooks_come, "one missing", without(lambda each: each.task_id == FIRST)),
    (judges.webhooks_come, "another end", change(lambda each: each.task_id == FIRST, type="task.failed")),
    (judges.webhooks_come, "schema", change(lambda each: each.task_id == FIRST, fits_schema=False)),
    (judges.webhooks_come, "another id", lambda e: again(e, webhook_id="msg_other")),
    (
        judges.webhooks_come,
        "told of what is not for it",
        lambda e: again(e, receiver=REFUSING, task_id=TASKS[3].task_id),
    ),
    (judges.signatures_verify, "unsigned", change(lambda each: each.task_id == FIRST, signed_by=frozenset())),
    (
        judges.signatures_verify,
        "by another's secret",
        change(lambda each: each.task_id == FIRST, signed_by=frozenset({"first", "foreign"})),
    ),
    (judges.signatures_verify, "no webhook", without(lambda each: True)),
    (judges.links_lead_there, "dead", change_links(status=403)),
    (judges.links_lead_there, "other bytes", change_links(sha256="?")),
    (judges.links_lead_there, "no link", change(lambda each: each.task_id == FIRST, links=())),
    (judges.refused_comes_again, "not again", without(lambda e: e.receiver == REFUSING and e.answered < 300)),
    (judges.refused_comes_again, "nothing refused", without(lambda each: each.answered == 503)),
    (judges.redelivery_comes, "once only", without(lambda e: "rotated" in e.signed_by)),
    (
        judges.rotation_counts,
        "the old one alone",
        change(lambda each: each.webhook_id == REDELIVERED, signed_by=frozenset({"first"})),
    ),
    (
        judges.rotation_counts,
        "the new one alone",
        change(lambda each: each.webhook_id == REDELIVERED, signed_by=frozenset({"rotated"})),
    ),
    (judges.api_answers, "open to all", lambda e: e.api.update({"no key": 200})),
    (judges.api_answers, "no scopes", lambda e: e.api.update({"a key that reads may not put": 201})),
    (judges.api_answers, "down", lambda e: e.api.update({"a task is put": 503})),
    (judges.api_answers, "not asked", lambda e: e.api.clear()),
    (judges.callback_takes_in, "put by somebody", lambda e: e.items[TOLD].pop("taken_in")),
    (judges.callback_takes_in, "not there", lambda e: e.items.pop(TOLD)),
    (judges.callback_takes_in, "an answer that tells", lambda e: e.callbacks.update({"no JSON": 400})),
    (judges.strangers_are_refused, "answered", lambda e: e.strangers.update({"no path": 200})),
    (judges.strangers_are_refused, "not tried", lambda e: e.strangers.clear()),
    (judges.dead_letters_are_empty, "one", lambda e: e.dead_letters.update({"PollerDeadLetters": 1})),
    (judges.dead_letters_are_empty, "no queue", lambda e: e.dead_letters.clear()),
    (judges.logs_have_no_errors, "Powertools", lines("intake", '{"level": "ERROR", "message": "x"}')),
    (judges.logs_have_no_errors, "runtime", lines("poller", "[ERROR] KeyError: 'x'\nTraceback ...")),
    (judges.functions_report, "silent", lambda e: e.log_lines.update(webhooks=["START"])),
    (judges.time_to_live_is_on, "off", lambda e: e.time_to_live.update(TasksTable="DISABLED")),
    (judges.time_to_live_is_on, "none asked for", lambda e: e.time_to_live.clear()),
    (judges.alarms_are_there, "missing", lambda e: e.alarms.clear()),
    (judges.alarms_are_there, "off", lambda e: e.alarms.update({"x-dead-letters": False})),
    (judges.alarms_are_there, "none", lambda e: setattr(e, "alarms_wanted", frozenset())),
    (judges.alarms_are_there, "no dashboard", lambda e: setattr(e, "dashboards_wanted", frozenset({"x"}))),
    (
        judges.alarms_are_there,
        "too many for lean",
        lambda e: (
            setattr(e, "alarms_wanted", frozenset(map(str, range(8)))),
            e.alarms.update(dict.fromkeys(map(str, range(8)), True)),
        ),
    ),
    (
        judges.alarms_are_there,
        "a dashboard in lean",
        lambda e: (
            setattr(e, "dashboards_wanted", frozenset({"x"})),
            setattr(e, "dashboards", frozenset({"x"})),
        ),
    ),
    (judges.tracing_is_as_told, "on", lambda e: e.tracing.update(poller="Active")),
    (judges.tracing_is_as_told, "off", lambda e: e.parameters.update(Tracing="yes")),
    (judges.tracing_is_as_told, "unknown", lambda e: e.tracing.clear()),
    (
        judges.tracing_is_as_told,
        "some, without a parameter",
        lambda e: (e.parameters.clear(), e.tracing.update(poller="Active")),
    ),
    (judges.traces_are_as_told, "although off", lambda e: setattr(e, "traces", 3)),
    (judges.traces_are_as_told, "none although on", lambda e: e.tracing.update(poller="Active")),
    (judges.metrics_are_those_sent, "not there", lambda e: setattr(e, "metrics", frozenset())),
    (
        judges.metrics_are_those_sent,
        "not sent",
        lambda e: setattr(e, "metrics", frozenset({A_METRIC, ANOTHER_METRIC})),
    ),
]


def test_where_everything_is_as_promised_every_judge_says_so() -> None:
    assert [check for check in judges.verdicts(good_evidence()) if check.held is not True] == []


@pytest.mark.parametrize(
    ("looks", "spoil"),
    [pytest.param(looks, spoil, id=f"{looks.__name__}: {what}") for looks, what, spoil in SPOILT],
)
def test_a_judge_fails_where_its_promise_is_broken(looks: Judge, spoil: Spoil) -> None:
    evidence = good_evidence()
    spoil(evidence)

    check = looks(evidence)

    assert check.held is False
    assert check.seen


def test_every_judge_is_seen_to_fail() -> None:
    assert {looks for looks, _, _ in SPOILT} == set(judges.JUDGES)


@pytest.mark.parametrize("looks", [judges.traces_are_as_told, judges.metrics_are_those_sent])
def test_what_an_embedded_aws_has_not_is_not_passed(looks: Judge) -> None:
    evidence = replace(good_evidence(), embedded=True, traces=None, metrics=None)

    check = looks(evidence)

    assert (check.held, check.seen) == (None, "not on the embedded AWS")


def test_a_time_to_live_that_an_embedded_aws_leaves_off_is_not_passed() -> None:
    evidence = replace(good_evidence(), embedded=True, time_to_live={"TasksTable": "DISABLED"})

    assert judges.time_to_live_is_on(evidence).held is None


def test_evidence_of_another_shape_does_not_hold_and_stops_no_other_judge() -> None:
    evidence = good_evidence()
    evidence.events = [replace(each, detail={}) for each in evidence.events]

    checks = {check.name: check for check in judges.verdicts(evidence)}

    assert checks["a task that fails"].held is False
    assert "KeyError" in checks["a task that fails"].seen
    assert checks["events"].held


def test_a_later_event_about_a_task_is_none_of_its_ends() -> None:
    evidence = good_evidence()
    evidence.events = [*evidence.events, replace(evidence.events[8], type="TaskArchived", detail={})]

    assert all(check.held for check in judges.verdicts(evidence))


def test_only_the_first_of_many_troubles_are_told() -> None:
    evidence = good_evidence()
    evidence.items.clear()

    assert judges.tasks_end(evidence).seen.endswith("; and 8 more")


def test_metrics_of_others_in_the_namespace_are_not_taken_for_sent() -> None:
    evidence = good_evidence()
    evidence.log_lines["poller"] = [TEXT_REPORT, METRIC_LINE.replace('"tunehook"', '"somebody"')]

    assert judges.metrics_sent(evidence) == frozenset()

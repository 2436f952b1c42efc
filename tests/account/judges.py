"""The judges: each holds one promise against the evidence, and says what it expected and what it saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.account import logs
from tests.account.evidence import HOOK, MAIN, REFUSING, Evidence, Webhook
from tests.account.tasks import FAILS_FOR, MUSICMINT, SmokeTask, Way

FUNCTIONS: Final = ("intake", "poller", "fulfillment", "webhooks", "api")
NOT_EMBEDDED: Final = "not on the embedded AWS"
NAMESPACE: Final = "tunehook"
EVENT_OF: Final = {"completed": "TaskCompleted", "failed": "TaskFailed", "rejected": "TaskFailed"}
WEBHOOK_OF: Final = {"completed": "task.completed", "failed": "task.failed", "rejected": "task.failed"}

API_ANSWERS: Final = {
    "a task is put": 201,
    "it is put again": 200,
    "it is read": 200,
    "its files are listed": 200,
    "its key may not subscribe": 403,
    "a key that reads may not put": 403,
    "a wrong key": 403,
    "no key": 401,
    "no key, the document": 200,
}
"""What is asked of the HTTP API, and the status that is right."""

CALLED: Final = (
    "the end of a task that nobody has put",
    "the same again",
    "no JSON",
    "a token that is wrong",
)
"""What is called at callback URLs."""

_ON: Final = frozenset({"active", "yes", "on", "true"})
_LEAN: Final = "lean"
_LEAN_ALARMS: Final = 7


@dataclass(frozen=True)
class Check:
    """What one judge found. `held` is None where it cannot be seen on this AWS."""

    name: str
    held: bool | None
    expected: str
    seen: str


Judge = Callable[[Evidence], Check]

JUDGES: list[Judge] = []


def judge(name: str, expected: str) -> Callable[[Callable[[Evidence], Iterable[str]]], Judge]:
    """Make a judge of a function that yields what is wrong, in words.

    Parameters
    ----------
    name : str
        What is promised.
    expected : str
        What is seen when it is kept.
    """

    def made(look: Callable[[Evidence], Iterable[str]]) -> Judge:
        def holding(evidence: Evidence) -> Check:
            try:
                wrong = list(look(evidence))
            except NotShown as reason:
                return Check(name, None, expected, str(reason))
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                # What was seen has another shape than was promised.
                return Check(name, held=False, expected=expected, seen=repr(error))
            return Check(name, not wrong, expected, _in_short(wrong) if wrong else "that")

        holding.__name__ = look.__name__
        JUDGES.append(holding)
        return holding

    return made


class NotShown(Exception):
    """What would be judged is not to be seen on this AWS; says why."""


def verdicts(evidence: Evidence) -> list[Check]:
    """Return what every judge finds."""
    return [each(evidence) for each in JUDGES]


def _in_short(wrong: Sequence[str]) -> str:
    rest = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return "; ".join(wrong[:3]) + rest


@judge("tasks end", "every task has the end that its provider gave it")
def tasks_end(evidence: Evidence) -> Iterator[str]:
    for task in evidence.tasks:
        status = evidence.items.get(task.task_id, {}).get("status")
        if status != task.ends:
            yield f"{task.task_id} is {status}, not {task.ends}"


@judge("a task that fails", "the provider's own reason")
def failure_says_why(evidence: Evidence) -> Iterator[str]:
    for task in evidence.tasks:
        if task.ends == "failed":
            told = [
                event.detail["failure"]["reason"]
                for event in evidence.events
                if (event.task_id, event.type) == (task.task_id, "TaskFailed")
            ]
            if set(told) != {FAILS_FOR}:
                yield f"{task.task_id}: {told}"


@judge("a bad item", "refused by the field that is wrong")
def bad_item_is_refused(evidence: Evidence) -> Iterator[str]:
    for task in evidence.tasks:
        if task.ends == "rejected":
            told = str(evidence.items.get(task.task_id, {}).get("error"))
            if not told.startswith("timeout_s: "):
                yield f"{task.task_id}: {told}"


@judge("events", "each end is on the bus, under one id, in its schema")
def events_are_on_the_bus(evidence: Evidence) -> Iterator[str]:
    for task in evidence.tasks:
        told = [event for event in evidence.events if event.task_id == task.task_id]
        ends = [event for event in told if event.type in ("TaskCompleted", "TaskFailed")]
        if {event.type for event in ends} != {EVENT_OF[task.ends]}:
            yield f"{task.task_id}: {sorted({event.type for event in ends}) or 'nothing'}"
        elif len({event.event_id for event in ends}) > 1:
            yield f"{task.task_id} has {len(ends)} different ends"
        yield from (f"{event.event_id} does not fit its schema" for event in told if not event.fits_schema)


@judge("results", "every file is in the bucket, with the bytes that the provider served")
def results_are_kept(evidence: Evidence) -> Iterator[str]:
    for task in evidence.tasks:
        if task.ends != "completed":
            continue
        manifest = evidence.manifests.get(task.task_id)
        if manifest is None:
            yield f"{task.task_id} has no manifest"
            continue
        kept = [asset for asset in manifest["assets"] if asset["status"] == "archived"]
        for asset in kept:
            found = evidence.objects.get(asset["key"])
            if found is None or (found.sha256, found.bytes) != (asset["sha256"], asset["bytes"]):
                yield f"{asset['key']} is not what the manifest says"
        digests = Counter((asset["type"], asset["sha256"]) for asset in kept)
        for kind, digest in Counter(task.files()) - digests:
            yield f"{task.task_id}: no {kind} with the digest {digest[:12]}"
        if task.plan.video and not any(asset["type"] == "video" for asset in kept):
            yield f"{task.task_id} has no video"


@judge("lyrics", "the text is kept")
def lyrics_are_kept(evidence: Evidence) -> Iterator[str]:
    for task in evidence.tasks:
        if task.plan.lyrics:
            clips = evidence.manifests.get(task.task_id, {}).get("clips", ())
            if not any(clip.get("text") for clip in clips):
                yield f"{task.task_id} has no text"


@judge("webhooks", "each receiver is told of each of its tasks, once")
def webhooks_come(evidence: Evidence) -> Iterator[str]:
    for receiver in (MAIN, REFUSING, HOOK):
        wanted = {task.task_id: WEBHOOK_OF[task.ends] for task in evidence.tasks if is_told(receiver, task)}
        came = [each for each in _of(evidence, receiver) if each.type != "task.archived"]
        for task_id, kind in wanted.items():
            about = [each for each in came if each.task_id == task_id]
            if {each.type for each in about} != {kind}:
                yield f"{receiver} was not told {kind} of {task_id}"
            elif len({each.webhook_id for each in about}) > 1:
                yield f"{receiver} was told of {task_id} under several ids"
        for task_id in {each.task_id for each in came} - wanted.keys():
            yield f"{receiver} was told of {task_id}"
    yield from (
        f"{each.webhook_id} does not fit its schema" for each in evidence.webhooks if not each.fits_schema
    )


def is_told(receiver: str, task: SmokeTask) -> bool:
    """Return whether a receiver is to be told of a task."""
    if receiver == HOOK:
        return task.hooked
    return receiver == MAIN or task.plan.kind == MUSICMINT


@judge("signatures", "each webhook verifies with its receiver's secret, by the library, and with no other")
def signatures_verify(evidence: Evidence) -> Iterator[str]:
    if not evidence.webhooks:
        yield "there is no webhook"
    for each in evidence.webhooks:
        if not each.signed_by & {"first", "rotated"}:
            yield f"{each.receiver}: {each.webhook_id} is signed with none of its secrets"
        if "foreign" in each.signed_by:
            yield f"{each.receiver}: {each.webhook_id} verifies with another receiver's secret"


@judge("links", "each link of each webhook gives the bytes that the webhook told the digest of")
def links_lead_there(evidence: Evidence) -> Iterator[str]:
    linked = set()
    for webhook in evidence.webhooks:
        for link in webhook.links:
            linked.add((webhook.receiver, webhook.task_id))
            if link.status != 200:
                yield f"{link.key}: {link.status}"
            elif link.sha256 != link.told_sha256:
                yield f"{link.key}: other bytes"
    for receiver in (MAIN, REFUSING, HOOK):
        for task in evidence.tasks:
            if is_told(receiver, task) and any(task.files()) and (receiver, task.task_id) not in linked:
                yield f"{receiver} got no link to the files of {task.task_id}"


@judge("a refusal", "what was refused comes again, under the same id, until it is taken")
def refused_comes_again(evidence: Evidence) -> Iterator[str]:
    came = _of(evidence, REFUSING)
    refused = [each for each in came if each.answered >= 300]
    if not refused:
        yield "nothing was refused"
    for each in refused:
        if not any(again.webhook_id == each.webhook_id and again.answered < 300 for again in came):
            yield f"{each.webhook_id} did not come again"


@judge("a redelivery", "by hand, under the same id")
def redelivery_comes(evidence: Evidence) -> Iterator[str]:
    if len(_redelivered(evidence)) < 2:
        yield f"{evidence.redelivered} came {len(_redelivered(evidence))} times"


@judge("a rotation", "afterwards both secrets sign: the new one and, for a while, the old one")
def rotation_counts(evidence: Evidence) -> Iterator[str]:
    last = _redelivered(evidence)[-1:]
    if not last or not {"first", "rotated"} <= last[0].signed_by:
        yield f"signed by {sorted(last[0].signed_by) if last else 'nothing'}"


@judge("the API", "answers whoever has a key by the key's scope, and nobody else")
def api_answers(evidence: Evidence) -> Iterator[str]:
    for what, wanted in API_ANSWERS.items():
        if evidence.api.get(what) != wanted:
            yield f"{what}: {evidence.api.get(what)}, not {wanted}"


@judge("a callback", "by it alone a task that nobody put is watched; every call gets 200")
def callback_takes_in(evidence: Evidence) -> Iterator[str]:
    for what in CALLED:
        if evidence.callbacks.get(what) != 200:
            yield f"{what}: {evidence.callbacks.get(what)}"
    for task in evidence.tasks:
        if task.way is Way.CALLBACK and not evidence.items.get(task.task_id, {}).get("taken_in"):
            yield f"{task.task_id} was not taken in"


@judge("strangers", "the sandbox answers nobody without its path, nor a provider's question without its key")
def strangers_are_refused(evidence: Evidence) -> Iterator[str]:
    if not evidence.strangers:
        yield "nothing was tried"
    for what, status in evidence.strangers.items():
        if status not in (401, 404):
            yield f"{what}: {status}"


@judge("dead letters", "none")
def dead_letters_are_empty(evidence: Evidence) -> Iterator[str]:
    if not evidence.dead_letters:
        yield "there is no dead-letter queue"
    yield from (f"{count} in {name}" for name, count in evidence.dead_letters.items() if count)


@judge("errors", "none in any log group")
def logs_have_no_errors(evidence: Evidence) -> Iterator[str]:
    for function, lines in evidence.log_lines.items():
        yield from (f"{function}: {line.strip()[:300]}" for line in logs.errors(lines))


@judge("reports", "Lambda reports the invocations of every function")
def functions_report(evidence: Evidence) -> Iterator[str]:
    for function in (*FUNCTIONS, "sandbox"):
        if not logs.reports(evidence.log_lines.get(function, ())):
            yield f"no REPORT of {function}"


@judge("time to live", "on, for each table whose template asks for it")
def time_to_live_is_on(evidence: Evidence) -> Iterator[str]:
    if not evidence.time_to_live:
        yield "no table has it"
    off = [f"{table}: {state}" for table, state in evidence.time_to_live.items() if state != "ENABLED"]
    if off and evidence.embedded:
        raise NotShown(f"{NOT_EMBEDDED}, which does not set it by template")
    yield from off


@judge("alarms", "each alarm and dashboard of the stack is in CloudWatch, and no more than its size has")
def alarms_are_there(evidence: Evidence) -> Iterator[str]:
    if not evidence.alarms_wanted:
        yield "the stack has no alarm"
    yield from (f"no alarm {name}" for name in sorted(evidence.alarms_wanted - evidence.alarms.keys()))
    yield from (f"{name} is off" for name, on in sorted(evidence.alarms.items()) if not on)
    if evidence.dashboards is not None:
        yield from (f"no dashboard {name}" for name in evidence.dashboards_wanted - evidence.dashboards)
    if evidence.parameters.get("Observability") == _LEAN:
        if len(evidence.alarms_wanted) > _LEAN_ALARMS:
            yield f"{len(evidence.alarms_wanted)} alarms, and the size is {_LEAN}"
        if evidence.dashboards_wanted:
            yield f"a dashboard, and the size is {_LEAN}"


@judge("tracing", "the functions' mode is what the parameter says")
def tracing_is_as_told(evidence: Evidence) -> Iterator[str]:
    told = evidence.parameters.get("Tracing")
    wanted = None if told is None else "Active" if told.lower() in _ON else "PassThrough"
    if not evidence.tracing:
        yield "no function says"
    if wanted is None and len(set(evidence.tracing.values())) > 1:
        yield f"some are traced: {evidence.tracing}"
    if wanted is not None:
        yield from (f"{name}: {mode}" for name, mode in evidence.tracing.items() if mode != wanted)


@judge("traces", "in X-Ray where the functions are traced, none where they are not")
def traces_are_as_told(evidence: Evidence) -> Iterator[str]:
    if evidence.traces is None:
        raise NotShown(NOT_EMBEDDED)
    traced = "Active" in evidence.tracing.values()
    if traced != bool(evidence.traces):
        yield f"{evidence.traces} traces, and the mode is {sorted(set(evidence.tracing.values()))}"


@judge("metrics", "in CloudWatch is what the functions sent, and nothing else")
def metrics_are_those_sent(evidence: Evidence) -> Iterator[str]:
    if evidence.metrics is None:
        raise NotShown(NOT_EMBEDDED)
    sent = metrics_sent(evidence)
    for name, dimensions in sorted(sent ^ evidence.metrics, key=str):
        where = "is not there" if (name, dimensions) in sent else "nobody sent"
        yield f"{name} {dict(sorted(dimensions))} {where}"


def metrics_sent(evidence: Evidence) -> frozenset[tuple[str, frozenset[tuple[str, str]]]]:
    """Return names and dimensions of what the functions' lines hand to CloudWatch."""
    return frozenset(
        (name, dimensions)
        for lines in evidence.log_lines.values()
        for namespace, name, dimensions in logs.emitted_metrics(lines)
        if namespace == NAMESPACE
    )


def _of(evidence: Evidence, receiver: str) -> list[Webhook]:
    return [each for each in evidence.webhooks if each.receiver == receiver]


def _redelivered(evidence: Evidence) -> list[Webhook]:
    return [each for each in _of(evidence, MAIN) if each.webhook_id == evidence.redelivered]

"""The checks of `tunehook doctor`, one function a part, each of which says what is wrong and what to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from functools import partial
from typing import Any, Final

from tunehook.aws.error_messages import describe_error, is_denied
from tunehook.aws.errors import AWS_FAULTS
from tunehook.errors import TunehookError
from tunehook.operations import status
from tunehook.operations.deliveries import HELD_BACK_SHOWN, HeldBack, held_back
from tunehook.operations.probe import Note, advise, describe_probe, is_known_key, poll_once
from tunehook.operations.queues import WORK_QUEUES, DeadLetters, depth
from tunehook.operations.stack import OpenClient, Stack, find_stack
from tunehook.operations.subscriptions import doubled
from tunehook.operations.text import counted, duration, visible
from tunehook.providers.config import ProviderConfig, read_providers
from tunehook.providers.outcomes import Throttled, Unauthorised
from tunehook.signatures import derive_secret
from tunehook.tasks import Work
from tunehook.times import from_ms, now_ms

LATE_S: Final = 150
"""For so long work may be without a poller: the schedule starts one every minute."""

STOPPED_S: Final = 300
"""The threshold of the alarm on the poller's runs."""

_FUNCTIONS: Final = (
    "IntakeFunction",
    "PollerFunction",
    "FulfillmentFunction",
    "WebhooksFunction",
    "ApiFunction",
)
_FED: Final = {
    "IntakeFunction": "the Tasks stream",
    "FulfillmentFunction": "the fulfillment queue",
    "WebhooksFunction": "the deliveries queue",
}
_BOUNDED: Final = {"FulfillmentFunction": "FulfillmentConcurrency", "WebhooksFunction": "WebhooksConcurrency"}
"""The functions that run as often as there is work, and the parameters that bound them."""

_CHOICES: Final = (2, 3, 5, 10, 20, 50, 100)
_POLLERS_A_SHARD: Final = 2  # one takes over from the other
_INTAKES: Final = 1  # at least: the stream of a table that grew has more shards, each with an invocation
_PROBES_AT_ONCE: Final = 8
_DELIVERIES: Final = ("delivery", "deliveries")
_DELETED_BY_HAND: Final = "it was deleted by hand; docs/deploying.md says how to get it back"


class State(StrEnum):
    """``WARN``: the stack works, and somebody should know. ``FAIL``: something is not done until it is mended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, and what to do about it."""

    check: str
    state: State
    words: str
    advice: str | None = None


Found = tuple[State, str, str | None]
"""State, message and advice of a finding."""


def examine(open_client: OpenClient, name: str, note: Note = lambda _: None) -> Iterator[Finding]:
    """Check a stack and all that it rests on, part by part; without credentials or the stack nothing else.

    >>> [each.state.value for each in examine(client, "other") if each.check == "stack"]
    ['fail']
    """
    stacks: list[Stack] = []

    def find() -> Iterator[Found]:
        stacks.append(find_stack(open_client, name))
        return _stack(stacks[0])

    for part, check in (("credentials", partial(_credentials, open_client)), ("stack", find)):
        findings = list(_run(part, check))
        yield from findings
        if any(each.state is State.FAIL for each in findings):
            return
    works: dict[int, Work] = {}
    checks: dict[str, Callable[[Stack], Iterator[Found]]] = {
        "secrets": _secrets,
        "providers": partial(_providers, note=note),
        "schedule": _schedule,
        "functions": _functions,
        "mappings": _mappings,
        "concurrency": _concurrency,
        "queues": _queues,
        "dead letters": _dead_letters,
        "poller": partial(_poller, works),
        "tasks": partial(_tasks, works),
        "deliveries": _deliveries,
        "subscriptions": _subscriptions,
    }
    for part, check_stack in checks.items():
        yield from _run(part, partial(check_stack, stacks[0]))


def _run(name: str, check: Callable[[], Iterator[Found]]) -> Iterator[Finding]:
    """Yield what a check finds; one that cannot be made is a finding too."""
    try:
        for found in check():
            yield Finding(name, *found)
    except (TunehookError, *AWS_FAULTS) as error:
        if (message := describe_error(error)) is None:
            raise
        yield Finding(name, State.FAIL, message)


def _credentials(open_client: OpenClient) -> Iterator[Found]:
    sts = open_client("sts", retries={"mode": "standard", "total_max_attempts": 2})
    caller = sts.get_caller_identity()
    yield State.OK, f"{caller['Arn']} in {sts.meta.region_name}", None


def _stack(stack: Stack) -> Iterator[Found]:
    message = f"{stack.name} is {stack.status}"
    if stack.status.endswith("_IN_PROGRESS"):
        yield State.WARN, message, "check again when it is done"
    elif "ROLLBACK" in stack.status or stack.status.endswith("_FAILED"):
        advice = f"`aws cloudformation describe-stack-events --stack-name {stack.name}` says why"
        yield State.WARN, f"{message}: its last update failed", advice
    else:
        yield State.OK, message, None


def _secrets(stack: Stack) -> Iterator[Found]:
    # What signs webhooks refuses a master secret that is too short.
    derive_secret(stack.master_secret(), "doctor", 1)
    yield State.OK, "the master secret can be read and is long enough", None
    read_providers(stack.providers_json())
    yield State.OK, "the providers secret can be read", None


def _providers(stack: Stack, note: Note) -> Iterator[Found]:
    configured = read_providers(stack.providers_json())
    if not configured.usable and not configured.errors:
        yield State.WARN, "none is configured, so tasks wait", "add one with `tunehook providers set`"
    for name, error in configured.errors.items():
        advice = f"set it again with `tunehook providers set {name}`"
        yield State.FAIL, f"{name} cannot be used: {error}", advice
    with ThreadPoolExecutor(_PROBES_AT_ONCE) as threads:
        yield from threads.map(partial(_provider, stack, note), configured.usable.values())


def _provider(stack: Stack, note: Note, config: ProviderConfig) -> Found:
    probe = poll_once(config)
    was_accepted = isinstance(probe.outcome, Unauthorised) and is_known_key(stack, config, note)
    message = f"{config.name}, {config.kind}: {describe_probe(probe, was_accepted=was_accepted)}"
    if probe.useful:
        return State.OK, message, None
    if isinstance(probe.outcome, Throttled):
        return State.WARN, message, "lower its --requests-per-second or --max-concurrency if this goes on"
    if isinstance(probe.outcome, Unauthorised):
        return State.FAIL, message, advise(probe, config, was_accepted=was_accepted)
    advice = f"the request came from this machine; `tunehook providers check {config.name}` shows more"
    return State.FAIL, message, advice


def _schedule(stack: Stack) -> Iterator[Found]:
    name = f"{stack.name}-every-minute"
    scheduler = stack.client("scheduler")
    try:
        schedule = scheduler.get_schedule(Name=name)
    except scheduler.exceptions.ResourceNotFoundException:
        yield State.FAIL, f"{name} is not there", _DELETED_BY_HAND
        return
    if schedule["State"] == "ENABLED":
        yield State.OK, f"{name} is enabled, {schedule['ScheduleExpression']}", None
    else:
        message = f"{name} is {schedule['State'].lower()}: nothing replaces a poller that ended or was lost"
        yield State.FAIL, message, f"enable the schedule {name} in the console of EventBridge Scheduler"


def _functions(stack: Stack) -> Iterator[Found]:
    lambdas = stack.client("lambda")
    for output_name in _FUNCTIONS:
        name = stack.output(output_name)
        # GetFunction would say the same, and return the code too.
        configuration = lambdas.get_function_configuration(FunctionName=name)
        if lambdas.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions") == 0:
            advice = f"`aws lambda delete-function-concurrency --function-name {name}`"
            yield State.FAIL, f"{name} is switched off: its concurrency is 0", advice
        elif configuration.get("State", "Active") not in ("Active", "Inactive"):
            reason = configuration.get("StateReason") or "no reason given"
            yield State.FAIL, f"{name} is {configuration['State']}: {reason}", "deploy the stack again"
        else:
            yield State.OK, f"{name} is ready, {configuration['Runtime']}", None


def _mappings(stack: Stack) -> Iterator[Found]:
    lambdas = stack.client("lambda")
    for output_name, source in _FED.items():
        name = stack.output(output_name)
        found = lambdas.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
        if not found:
            yield State.FAIL, f"{name} has no event source mapping to {source}", _DELETED_BY_HAND
        for mapping in found:
            yield _mapping(name, source, mapping)


def _mapping(name: str, source: str, mapping: Any) -> Found:
    message = f"{name} reads from {source}"
    match mapping["State"]:
        case "Enabled" if str(mapping.get("LastProcessingResult", "")).startswith("PROBLEM"):
            return State.WARN, f"{message}, with problems: {mapping['LastProcessingResult']}", None
        case "Enabled":
            return State.OK, message, None
        case "Disabled" | "Disabling":
            advice = f"`aws lambda update-event-source-mapping --uuid {mapping['UUID']} --enabled`"
            return State.FAIL, f"{name} gets no events: its mapping to {source} is disabled", advice
        case state:
            return State.WARN, f"the mapping of {name} to {source} is {state}", "check again in a minute"


def _concurrency(stack: Stack) -> Iterator[Found]:
    lambdas = stack.client("lambda")
    try:
        limits = lambdas.get_account_settings()["AccountLimit"]
    except AWS_FAULTS as error:
        if not is_denied(error):
            raise
        yield State.OK, "you may not read the account's limit (lambda:GetAccountSettings): not compared", None
        return
    # What is reserved for functions of others is not to be had; none is reserved for ours.
    most = limits["UnreservedConcurrentExecutions"]
    bounds = {name: _bound(lambdas, stack.output(name)) for name in _BOUNDED}
    wanted = _POLLERS_A_SHARD * stack.shard_count + _INTAKES + sum(bound or 0 for bound in bounds.values())
    message = f"the account may run {most} functions at once"
    unbounded = [parameter for name, parameter in _BOUNDED.items() if bounds[name] is None]
    if wanted > most:
        late = "pollers may not be started in time, and tasks wait"
        message += f", and this stack alone may need {wanted}: {late}"
        smaller = f"deploy it with a smaller {', '.join(_BOUNDED.values())} or ShardCount"
        yield State.WARN, message, f"{smaller}, or ask for more under Service Quotas"
    elif unbounded:
        message += ", and fulfillment may take all of them when many tasks end together"
        # Half of the room is left to others.
        fitting = max(
            (choice for choice in _CHOICES if choice <= (most - wanted) // 2), default=min(_CHOICES)
        )
        advice = f"deploy it with {' and '.join(unbounded)} set, to {fitting} say"
        yield State.WARN, message, advice
    else:
        yield State.OK, f"{message}, and this stack needs about {wanted}", None


def _bound(lambdas: Any, function: str) -> int | None:
    """How often a function may run at once for its queue; None if only the account bounds it."""
    for mapping in lambdas.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]:
        bound: int | None = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
        return bound
    return 0  # it is not fed, which is another check's matter


def _queues(stack: Stack) -> Iterator[Found]:
    sqs = stack.client("sqs")
    for name, output_name in WORK_QUEUES.items():
        now = depth(sqs, stack.output(output_name))
        yield State.OK, f"{name}: {now.waiting} waiting, {now.taken} in progress, {now.later} delayed", None


def _dead_letters(stack: Stack) -> Iterator[Found]:
    counts = status.dead_letters(stack)
    for queue in DeadLetters:
        if not (count := counts[queue.value]):
            continue
        advice = f"`tunehook dlq list {queue}` shows them; `tunehook dlq redrive {queue}` retries them"
        # What the poller did not do its next start does; of the others the work itself is there.
        state = State.WARN if queue is DeadLetters.POLLER else State.FAIL
        yield state, f"{queue}: {count}", advice
    if not any(counts.values()):
        yield State.OK, "there are none", None


def _work(works: dict[int, Work], stack: Stack, shard: int) -> Work:
    """Read the work of a shard, which several checks look at, once."""
    if shard not in works:
        works[shard] = stack.tasks.work(shard)
    return works[shard]


def _poller(works: dict[int, Work], stack: Stack) -> Iterator[Found]:
    now = now_ms()
    for lease in status.shard_leases(stack, now):
        shard, work = lease.shard, _work(works, stack, lease.shard)
        since_ms = min((task.since_ms for task in (*work.pending[:1], *work.event_pending[:1])), default=None)
        if lease.live:
            yield State.OK, f"shard {shard}: a poller watches {len(work.pending)} pending tasks", None
        elif since_ms is None:
            yield State.OK, f"shard {shard}: there is nothing to watch", None
        else:
            yield _unwatched(shard, (now - max(since_ms, lease.seen_ms or 0)) / 1000)


def _unwatched(shard: int, for_s: float) -> Found:
    message = f"shard {shard}: there is work, and no poller for {duration(for_s)}"
    if for_s <= LATE_S:
        return State.OK, message, None
    state = State.FAIL if for_s > STOPPED_S else State.WARN
    return state, message, "see to the schedule, and to what the poller's log says"


def _tasks(works: dict[int, Work], stack: Stack) -> Iterator[Found]:
    leases = status.shard_leases(stack, now_ms())
    pending = [task for lease in leases for task in _work(works, stack, lease.shard).pending]
    if not pending:
        yield State.OK, "none is pending", None
        return
    configured = read_providers(stack.providers_json())
    known = {*configured.usable, *configured.errors}
    waiting: defaultdict[str, list[str]] = defaultdict(list)
    for task in pending:
        if task.key.provider not in known:
            waiting[task.key.provider].append(task.key.task_id)
    for name, ids in sorted(waiting.items()):
        words = f"{counted(len(ids), 'pending task')} of {visible(name)}, a provider that is not configured"
        yield (
            State.WARN,
            f"{words}: {visible(ids[0])}{' and others' if ids[1:] else ''}",
            _unknown(name, known),
        )
    if not waiting:
        yield State.OK, f"{len(pending)} pending, all of providers that are configured", None


def _unknown(name: str, known: Iterable[str]) -> str:
    """Return what to do about the tasks of a provider that is not configured."""
    nearest = get_close_matches(name, list(known), 1)
    meant = (
        f"if {nearest[0]} was meant, submit them to it and cancel these (`tunehook tasks cancel`); "
        if nearest
        else ""
    )
    return f"{meant}`tunehook providers set {visible(name)}` configures it, and they go on"


def _deliveries(stack: Stack) -> Iterator[Found]:
    now = now_ms()
    counts = status.deliveries(stack, now, now)
    held: defaultdict[str, list[HeldBack]] = defaultdict(list)
    for each in held_back(stack).values():
        held[each.url].append(each)
    look = "`tunehook deliveries list --status pending` shows them"
    for url, waiting in sorted(held.items()):
        count = (
            f"{'at least ' if len(waiting) >= HELD_BACK_SHOWN else ''}{counted(len(waiting), *_DELIVERIES)}"
        )
        until_ms = waiting[0].until_ms  # of all: they wait for the same receiver
        again = f"about {from_ms(until_ms):%H:%M} UTC" if until_ms > now_ms() else "now"
        message = f"{count} to {visible(url)} held back: the receiver hangs, and is tried again {again}"
        yield State.WARN, message, f"nothing is lost; {look}"
    # What is held back may be overdue by its schedule; whatever else is overdue, nothing explains.
    late = counts.overdue - sum(len(each) for each in held.values())
    if late > 0 and not any(len(each) >= HELD_BACK_SHOWN for each in held.values()):
        message = f"{counted(late, *_DELIVERIES)} overdue, and not because a receiver hangs"
        yield State.WARN, message, f"{look}; `tunehook logs webhooks` says what the function does"
    elif not held:
        yield State.OK, f"{counts.pending} pending, none of them held back", None


def _subscriptions(stack: Stack) -> Iterator[Found]:
    counts = status.subscriptions(stack)
    message = ", ".join(f"{count} {state}" for state, count in counts if count) or "there is none"
    if counts.failing or counts.disabled or counts.unusable:
        yield State.WARN, message, "`tunehook subscriptions list` and `tunehook subscriptions show` say why"
    else:
        yield State.OK, message, None
    for one, other in doubled(stack):
        message = f"{one.subscription_id} and {other.subscription_id} have the same URL, to which the same comes twice"
        delete = f"`tunehook subscriptions delete {other.subscription_id}`"
        yield State.WARN, message, f"{delete}, or let them differ in events or providers"

"""Draws a plan from a seed: what is put, what it meets, and what is broken meanwhile."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from tests.stack.faults import troubles
from tests.stack.faults.dice import Dice
from tests.stack.faults.links import paths_of
from tests.stack.faults.media import Media
from tests.stack.faults.plan import (
    SHORT,
    AssetTrouble,
    Moment,
    Plan,
    PlannedGone,
    PlannedSubscription,
    PlannedTask,
    ReceiverTrouble,
    Size,
)

from tunehook.signatures import SignatureScheme
from tunehook.tasks import Format
from tunehook_local.sandbox import Kind

FUNCTIONS: Final = ("intake", "poller", "fulfillment", "webhooks")

_HIDES: Final = "sqs:ChangeMessageVisibility*"
"""By which a worker keeps its messages: disturbed in a long run alone, for what a worker had that was killed meanwhile
comes back only when its queue gives it back, after 24 minutes."""

CALLS: Final = {
    "dynamodb:GetItem": ("throttle", "fail", "drop"),
    "dynamodb:PutItem": ("throttle", "drop", "unanswered"),
    "dynamodb:Query": ("throttle", "fail", "delay"),
    "dynamodb:Scan": ("fail",),
    "dynamodb:UpdateItem": ("throttle", "fail", "drop", "unanswered", "delay"),
    "events:PutEvents": ("throttle", "fail", "drop", "unanswered", "double"),
    "lambda:POST *": ("throttle", "fail", "drop", "unanswered", "double"),
    "s3:GET *": ("throttle", "fail", "drop"),
    "s3:HEAD *": ("fail", "drop"),
    "s3:PUT *": ("throttle", "fail", "drop", "unanswered", "delay"),
    "secretsmanager:GetSecretValue": ("throttle", "fail", "drop", "delay"),
    _HIDES: ("fail", "drop", "unanswered"),
    "sqs:SendMessage*": ("throttle", "fail", "drop", "unanswered", "double"),
}
"""What the functions ask of AWS, and what may become of it.

What is doubled has two runs of one message, or two pollers of one shard, at once.
"""

_LOST_WRITES: Final = ("unanswered", "dynamodb:UpdateItem")
"""What meets every conditional write: made, and its answer lost. In every plan."""

_REASONS: Final = (
    "The lyrics were rejected by the content filter",
    "生成失败：内容不合规",
    "Generation failed: all platforms unavailable",
)
_SHARED_HOOKS: Final = 4
_FAILED_SHARE: Final = 0.12
_KNOWN_AGE_S: Final = (25.0, 60.0)
"""Beyond the first 20 s, in which a task is asked once only (`docs/design.md`, "When a task is polled")."""

_KILLED_WITHIN: Final = {
    "intake": (0.15, 0.3),
    "poller": (0.15, 0.3),
    "fulfillment": (0.7, 1.2),
    "webhooks": (0.9, 1.2),
}
"""In a short run, as shares of the time in which tasks are put: a dead poller's lease must end before the last of them,
whose intake starts another one; files and webhooks are under way once the first tasks have ended, and what a dead
worker had comes back after half a minute."""

_HALTED_WITHIN: Final = {
    "intake": (0.4, 0.7),
    "poller": (0.4, 0.8),
    "fulfillment": (0.6, 1.0),
    "webhooks": (0.6, 1.0),
}
"""In a short run, as shares of the same time."""

_HALTED_S: Final = {True: (2.0, 5.0), False: (5.0, 20.0)}
"""How long, in a short run and in a long one: there a poller's lease of 12 s may end meanwhile, and a claim of a
delivery too."""

_GONE: Final = {True: 2, False: 12}
"""How many subscriptions are disabled as their receivers want no more, in a short run and in a long one."""

_WORK_BEGINS: Final = 0.6
_DISTURBED_UNTIL: Final = 1.1
"""In a short run, as shares of the same time: between these calls about ended tasks are disturbed."""

_AFTER_THE_END: Final = ("events", "s3", "sqs")
"""The services that are asked once a task has ended."""

_PASSING_RESETS: Final = 2
"""Of one receiver: the third connection failure within a minute would shut it out for 30 s (decision 012)."""


_JOINS_AT: Final = 0.7
"""When a subscription is made whose replay makes what it missed, as a share of the time in which tasks are put."""

_WATCHED: Final = 12
"""How many tasks of a short run, a third of each kind, go on long enough that progress is told: two thirds by a number
of questions, as those come later on a busy machine. Of others few are seen under way: they have ended by the second."""

_ASKED_ALONE: Final = {"headers": {"x-asked": "alone"}}
"""What keeps an answer out of lists of many tasks, so that a question of its own uses it up."""

_PROGRESS_REFUSED: Final = 5
"""Of one task in so many each webhook that tells of progress is refused."""

_SCHEDULES: Final = ((), (3, 3, 10, 60, 300), (2, 4, 20, 60, 300))
"""The waits in seconds of each subscription; none is the default. They outlast what a run breaks for a while."""

_LIMITED: Final = Format.CLOUDEVENTS
"""Whose subscription has a limit."""


def draw(seed: int, size: Size) -> Plan:
    """Draw the plan of a run.

    Parameters
    ----------
    seed : int
        The same seed gives the same plan for the same size.
    size : Size
        How much.

    Returns
    -------
    Plan
        Every fault is in it at least once. All that is put can come to its planned end.
    """
    dice = Dice(seed)
    subscriptions = (
        *(
            PlannedSubscription(
                f"to-{form}",
                form.value,
                scheme.value,
                waits_s,
                max_per_second=size.per_second if form is _LIMITED else None,
            )
            for form, scheme, waits_s in zip(Format, SignatureScheme, _SCHEDULES, strict=True)
        ),
        PlannedSubscription("to-some", Format.STANDARD.value, only="147"),
        PlannedSubscription(
            "to-some-later", Format.STANDARD.value, only="258", joins_at_s=_JOINS_AT * size.put_within_s
        ),
    )
    progress = PlannedSubscription("to-progress", Format.STANDARD.value, events=("task.progress",))
    tasks = sorted(_tasks(size, dice), key=lambda task: task.put_at_s)
    assets = list(_assets(tasks, Media(seed), size, dice))
    receivers = [
        *_receivers(tasks, subscriptions, size, dice),
        # What tells of progress is sent once, whatever it is answered.
        *(_refusal(progress, task, dice) for task in tasks[::_PROGRESS_REFUSED]),
    ]
    return Plan(
        seed=seed,
        size=size,
        tasks=tuple(_with_trouble(tasks, assets, receivers)),
        assets=tuple(assets),
        receivers=tuple(receivers),
        moments=tuple(sorted(_moments(size, subscriptions, dice), key=lambda moment: moment.at_s)),
        subscriptions=(*subscriptions, progress),
        query_many=tuple(_query_many(kind, size, dice) for kind in (Kind.MUSICMINT, Kind.SUNO)),
        gone=tuple(_gone(tasks, size, dice)),
    )


def _gone(tasks: Sequence[PlannedTask], size: Size, dice: Dice) -> Iterator[PlannedGone]:
    completed = dice.shuffled([task.task_id for task in tasks if task.status == "completed"])
    for number, task_id in enumerate(completed[: _GONE[size is SHORT]]):
        yield PlannedGone(f"gone-{number}", task_id)


def _tasks(size: Size, dice: Dice) -> Iterator[PlannedTask]:
    hooks = _hooks(size, dice)
    words = {kind: dice.deck(troubles.PROVIDER) for kind in Kind}
    statuses = {kind: _statuses(dice) for kind in Kind}
    for number in range(size.tasks):
        kind = list(Kind)[number % len(Kind)]
        hook = hooks.get(number)
        status = next(statuses[kind])
        hangs = hook is not None and "hanging" in hook
        beyond = number // len(Kind) - size.provider_share * size.tasks / len(Kind)
        troubled = beyond < 0 and not hangs
        is_watched = size is SHORT and 0 <= beyond < _WATCHED // len(Kind) and not hangs
        word = next(words[kind]) if troubled else None
        put_at_s, age_s, runs_s = _times(size, dice, troubled=troubled, hangs=hangs, is_watched=is_watched)
        yield PlannedTask(
            kind=kind.value,
            # A list of many tasks is in the order of their ids, which is not that in which they are put.
            task_id=f"{dice.whole(0, 0xFFFFFF):06x}-{kind}-{number}",
            put_at_s=put_at_s,
            age_s=age_s,
            hook_name=hook,
            status=status,
            rule=_rule(
                kind,
                status,
                _watched_life(kind, status, age_s, runs_s, dice)
                if is_watched
                else _life(word, kind, status, age_s, runs_s, size, dice),
                dice,
            ),
            trouble=() if word is None else (f"provider:{word}",),
        )


def _hooks(size: Size, dice: Dice) -> dict[int, str]:
    numbers = dice.shuffled(range(size.tasks))[: size.tasks // 3]
    names = [f"hook-hanging-{number}" for number in range(size.hangs)]
    names += [f"hook-{number % _SHARED_HOOKS}" for number in range(len(numbers) - size.hangs)]
    return dict(zip(numbers, names, strict=True))


def _statuses(dice: Dice) -> Iterator[str]:
    yield from dice.shuffled(["failed", *["completed"] * 7])
    while True:
        yield "failed" if dice.chance(_FAILED_SHARE) else "completed"


def _times(
    size: Size, dice: Dice, *, troubled: bool, hangs: bool, is_watched: bool
) -> tuple[float, float, float]:
    """Return when a task is put, how old it is then, and how long it goes on.

    In a short run what takes long comes early, and what comes late has ended or is so old that it is asked often.
    """
    age_s = dice.number(*_KNOWN_AGE_S) if dice.chance(0.5) else 0.0
    if size is not SHORT:
        return (
            dice.number(0, size.put_within_s),
            age_s,
            dice.number(0, size.runs_within_s) if dice.chance(0.8) else 0.0,
        )
    early_s = size.put_within_s * 0.45
    if hangs:
        return dice.number(0, 4), 0.0, 0.0
    if is_watched:
        return dice.number(0, early_s), dice.number(*_KNOWN_AGE_S), size.runs_within_s
    if troubled or dice.chance(0.4):
        return dice.number(0, early_s), age_s, dice.number(3, size.runs_within_s)
    return dice.number(early_s, size.put_within_s), age_s, dice.number(1, 4) if age_s else 0.0


def _life(
    word: str | None, kind: Kind, status: str, age_s: float, runs_s: float, size: Size, dice: Dice
) -> list[dict[str, Any]]:
    """Return the answers to the questions about a task, from its beginning on, which was `age_s` before its put."""
    running = {"phase": "processing"}
    end = _end(kind, status, dice)
    ends_at_s = round(age_s + runs_s, 3)
    way: list[dict[str, Any]] = []
    if word == "out_of_order":
        third_s = max(runs_s, 3) / 3
        way = [
            running | {"until_s": round(age_s + third_s, 3)},
            {"phase": "queued", "delay_s": dice.number(2, 6), "times": 1},
            {"phase": "queued", "until_s": round(age_s + 2 * third_s, 3)},
            running | {"until_s": round(age_s + 3 * third_s, 3)},
        ]
        return [*way, end]
    if runs_s > 0:
        way = [
            {"phase": "queued", "until_s": round(age_s + runs_s / 3, 3)},
            running | {"until_s": ends_at_s},
        ]
    if word is None:
        return [*way, end]
    # A question that is not answered costs the next one of a suno gateway 15 s, and a hanging one 10 s more.
    often = size.refusals > 1 or (kind is not Kind.SUNO and word not in ("timeout", "drip"))
    times = dice.whole(1, 2) if often else 1
    if dice.chance(0.5):
        return [*troubles.of_provider(word, running, times, dice), *way, end]
    return [*way, *troubles.of_provider(word, end, times, dice), end]


def _watched_life(kind: Kind, status: str, age_s: float, runs_s: float, dice: Dice) -> list[dict[str, Any]]:
    """Return the answers about a task that is asked often: it waits, is made, and where its kind says so streams."""
    streams = {} if kind is Kind.MUSICMINT else {"clips": 1}
    way: list[dict[str, Any]]
    if kind is Kind.SUNO:
        # One that a list leaves out is asked less often.
        way = [
            {"phase": "queued", "until_s": round(age_s + 1, 3)},
            {"phase": "processing", "until_s": round(age_s + runs_s / 2, 3)},
            {"phase": "processing", "until_s": round(age_s + runs_s, 3), **streams},
        ]
    else:
        way = [
            {"phase": "queued", "times": 1, **_ASKED_ALONE},
            {"phase": "processing", "times": 1, **_ASKED_ALONE},
            {"phase": "processing", "times": 3, **_ASKED_ALONE, **streams},
        ]
    return [*way, _end(kind, status, dice)]


def _end(kind: Kind, status: str, dice: Dice) -> dict[str, Any]:
    end: dict[str, Any] = {"phase": status}
    if status == "failed":
        end["reason"] = dice.pick(_REASONS)
        if kind is not Kind.MUSICMINT and dice.chance(0.4):
            end["clips"] = 1
    return end


def _rule(kind: Kind, status: str, answers: list[dict[str, Any]], dice: Dice) -> dict[str, Any]:
    rule: dict[str, Any] = {"answers": answers}
    if kind is Kind.SUNO and status == "completed" and dice.chance(0.3):
        rule["video"] = True
    return rule


def _assets(tasks: list[PlannedTask], media: Media, size: Size, dice: Dice) -> Iterator[AssetTrouble]:
    paths = dice.shuffled([links[0] for task in tasks for links in paths_of(task).values()])
    words = dice.deck(troubles.ASSET)
    for path in paths[: round(size.asset_share * len(paths))]:
        word = next(words)
        times = dice.whole(1, 2 if size.refusals == 1 else 5)
        yield AssetTrouble(
            path=path,
            word=word,
            answers=troubles.of_asset(word, media.size(path), times, dice),
            resumable=dice.chance(0.5),
        )


def _receivers(
    tasks: list[PlannedTask], subscriptions: Iterable[PlannedSubscription], size: Size, dice: Dice
) -> Iterator[ReceiverTrouble]:
    deliveries = [
        (each.subscription_id, task.task_id)
        for each in subscriptions
        for task in tasks
        if each.takes(task.task_id)
    ]
    for task in tasks:
        if task.hook_name is not None and "hanging" in task.hook_name:
            answer = troubles.of_receiver(troubles.HANG, 1, dice)
            yield ReceiverTrouble(task.hook_name, task.task_id, troubles.HANG, [answer])
        elif task.hook_name is not None:
            deliveries.append((task.hook_name, task.task_id))
    words = dice.deck(troubles.RECEIVER)
    resets: Counter[str] = Counter()
    retry_after_s = 6 if size.refusals == 1 else 20
    for receiver, task_id in dice.shuffled(deliveries)[: round(size.delivery_share * len(deliveries))]:
        word = next(words)
        if word == "reset" and size is SHORT:
            resets[receiver] += 1
            word = "5xx" if resets[receiver] > _PASSING_RESETS else word
        times = size.refusals if dice.chance(0.2) else 1
        answers = [troubles.of_receiver(word, retry_after_s, dice) for _ in range(times)]
        yield ReceiverTrouble(receiver, task_id, word, answers)


def _refusal(subscription: PlannedSubscription, task: PlannedTask, dice: Dice) -> ReceiverTrouble:
    answer = troubles.of_receiver("5xx", 1, dice)
    return ReceiverTrouble(subscription.subscription_id, task.task_id, "5xx", [answer])


def _with_trouble(
    tasks: list[PlannedTask], assets: list[AssetTrouble], receivers: list[ReceiverTrouble]
) -> Iterator[PlannedTask]:
    words: defaultdict[str, set[str]] = defaultdict(set)
    for asset in assets:
        words[asset.path.split("/")[1]].add(f"asset:{asset.word}")
    for receiver in receivers:
        words[receiver.task_id].add(f"receiver:{receiver.word}")
    for task in tasks:
        yield replace(task, trouble=(*task.trouble, *sorted(words[task.task_id])))


def _moments(size: Size, subscriptions: Sequence[PlannedSubscription], dice: Dice) -> Iterator[Moment]:
    for function in FUNCTIONS:
        for _ in range(size.kills):
            first, last = _KILLED_WITHIN[function] if size is SHORT else (0.0, 1.0)
            yield Moment(dice.number(first * size.put_within_s, last * size.put_within_s), "kill", function)
    for _ in range(size.restarts):
        gone_for_s = dice.number(3, 8)
        at_s = dice.number(0.4 * size.put_within_s, 0.6 * size.put_within_s)
        yield Moment(at_s, "restart", "aws", gone_for_s)
    for function in FUNCTIONS:
        for _ in range(size.halts):
            first, last = _HALTED_WITHIN[function] if size is SHORT else (0.0, 1.0)
            at_s = dice.number(first * size.put_within_s, last * size.put_within_s)
            yield Moment(at_s, "halt", function, dice.number(*_HALTED_S[size is SHORT]))
    for _ in range(size.edits):
        at_s = dice.number(0.2 * size.put_within_s, size.put_within_s)
        yield Moment(at_s, "edit", "TasksTable", share=dice.number(0.3, 0.6))
    there = [each for each in subscriptions if not each.is_late]
    for _ in range(size.moves):
        at_s = dice.number(0.4 * size.put_within_s, size.put_within_s)
        yield Moment(at_s, "move", dice.pick(there).subscription_id)
    for act, target in _disturbed(size, dice):
        for_s = dice.number(2, 4) if size is SHORT else dice.number(5, 15)
        first, last = 0.05, 1.0
        if size is SHORT and target.partition(":")[0] in _AFTER_THE_END:
            first, last = _WORK_BEGINS, _DISTURBED_UNTIL
        at_s = dice.number(first * size.put_within_s, last * size.put_within_s)
        yield Moment(at_s, act, target, for_s, share=dice.number(0.3, 0.9))


def _disturbed(size: Size, dice: Dice) -> list[tuple[str, str]]:
    """Return which calls meet what: every service and every act first, then whatever comes."""
    calls = {target: acts for target, acts in CALLS.items() if size is not SHORT or target != _HIDES}
    pairs = dice.shuffled([(act, target) for target, acts in calls.items() for act in acts])
    first = [_LOST_WRITES]
    for seen in (lambda pair: pair[1].partition(":")[0], lambda pair: pair[0]):
        have = {seen(pair) for pair in first}
        for pair in pairs:
            if seen(pair) not in have:
                have.add(seen(pair))
                first.append(pair)
    rest = dice.deck(pairs)
    return first + [next(rest) for _ in range(size.windows - len(first))]


def _query_many(kind: Kind, size: Size, dice: Dice) -> dict[str, Any]:
    """Return what disturbs the query of many tasks now and then, for about as long as tasks are put."""
    words = dice.deck(troubles.QUERY_MANY)
    answers: list[dict[str, Any]] = []
    moment_s = 0.0
    while moment_s < size.put_within_s:
        moment_s = round(moment_s + dice.number(3, 6) * (1 if size is SHORT else 5), 3)
        answers += [{"until_s": moment_s}, troubles.of_query_many(next(words), dice)]
    return {"kind": kind.value, "answers": answers}

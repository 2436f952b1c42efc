"""What a run puts in, and what it breaks when: drawn from a seed, kept as JSON, and played again from either."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Size:
    """How much a run puts in, how much of it meets trouble, and how long it may take.

    Attributes
    ----------
    name : str
        ``short`` or ``long``.
    tasks : int
        How many tasks are put.
    put_within_s : float
        From the first put to the last.
    runs_within_s : float
        How long a task goes on at its provider at most once it is put.
    provider_share, asset_share, delivery_share : float
        Which share of the tasks, of the files and of the deliveries meets trouble, from 0 to 1.
    refusals : int
        How often a receiver refuses the same delivery at most: the first refusal costs 5 s, the second 5 min.
    hangs : int
        How many deliveries hang, each at a receiver of its own.
    kills : int
        How often each of the four functions loses a worker.
    halts : int
        How often each of the four functions has a worker that is halted for a while.
    edits : int
        How often a user edits items of tasks by hand.
    moves : int
        How often the URL of a subscription changes.
    windows : int
        How many times calls to AWS are disturbed for a while.
    restarts : int
        How often the embedded AWS is stopped and started again.
    per_second : float
        How many attempts a second one of the subscriptions takes: fewer than there are to make at times.
    """

    name: str
    tasks: int
    put_within_s: float
    runs_within_s: float
    provider_share: float
    asset_share: float
    delivery_share: float
    refusals: int
    hangs: int
    kills: int
    halts: int
    edits: int
    moves: int
    windows: int
    restarts: int
    per_second: float


SHORT: Final = Size(
    "short",
    tasks=60,
    put_within_s=22,
    runs_within_s=18,
    provider_share=0.5,
    asset_share=0.15,
    delivery_share=0.12,
    refusals=1,
    hangs=1,
    kills=1,
    halts=1,
    edits=2,
    moves=1,
    windows=12,
    restarts=0,
    per_second=2,
)
LONG: Final = Size(
    "long",
    tasks=2000,
    put_within_s=600,
    runs_within_s=90,
    provider_share=0.3,
    asset_share=0.1,
    delivery_share=0.1,
    refusals=2,
    hangs=6,
    kills=10,
    halts=10,
    edits=20,
    moves=6,
    windows=66,
    restarts=1,
    per_second=4,
)
SIZES: Final = {size.name: size for size in (SHORT, LONG)}


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task: when it is put, how it lives at its provider, and how it must end.

    Attributes
    ----------
    kind, task_id : str
        Its provider, which has the name of its kind, and its id; no two tasks of a run have the same id.
    put_at_s : float
        When it is put, in seconds after the run's start.
    age_s : float
        How long its provider has had it by then.
    hook_name : str or None
        The receiver that its ``notify_hook`` leads to.
    status : str
        ``completed`` or ``failed``: how it must end.
    rule : dict
        A rule of the sandbox's ``[[tasks]]``.
    trouble : tuple of str
        What it meets: ``provider:5xx``, ``asset:cut``, ``receiver:hang`` and so on.
    """

    kind: str
    task_id: str
    put_at_s: float
    age_s: float
    hook_name: str | None
    status: str
    rule: dict[str, Any]
    trouble: tuple[str, ...] = ()

    @property
    def hook(self) -> bool:
        """Whether it has a ``notify_hook`` of its own."""
        return self.hook_name is not None


@dataclass(frozen=True, slots=True)
class AssetTrouble:
    """What the asset host does with one file before it serves it; `answers` are those of a rule of ``[[assets]]``.

    `path` is what follows ``/assets/``; `resumable` says whether the host has an ETag and serves the rest of the file.
    """

    path: str
    word: str
    answers: list[dict[str, Any]]
    resumable: bool


@dataclass(frozen=True, slots=True)
class ReceiverTrouble:
    """What a receiver does with the first receipts of one delivery; `answers` are those of ``[[receivers]]``."""

    receiver: str
    task_id: str
    word: str
    answers: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that is broken at a moment, or for a while.

    Attributes
    ----------
    at_s : float
        When it begins, in seconds after the run's start.
    act : str
        ``kill``, ``halt``, ``edit``, ``move``, ``restart``, or what is done to calls: ``throttle``, ``fail``, ``drop``,
        ``unanswered``, ``delay``, ``double``.
    target : str
        Of a kill and a halt the function; of an edit ``TasksTable``; of a move the subscription; of a restart ``aws``;
        otherwise ``<service>:<operation>``, the operation a pattern
        of `fnmatch` over what `tests.support.aws_proxy.Call` calls it.
    for_s : float
        How long it lasts.
    share : float
        Which share of the calls, or of the items, it hits, from 0 to 1.
    """

    at_s: float
    act: str
    target: str
    for_s: float = 0.0
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class PlannedSubscription:
    """A subscription to everything, or to the tasks that `only` has; its receiver has its id for a name.

    `retry_schedule` has the waits in seconds of its own schedule; empty for the default. `only` are the last
    characters of the ids of the tasks that its filter asks for; None for all. `joins_at_s` is when it is made, in
    seconds after the run's start: what ended before is replayed; 0 for one that is there from the beginning.
    `events` are those that it names, none of which is about an end; empty for ends.
    `max_per_second` is its limit of attempts; None for none.
    """

    subscription_id: str
    format: str
    signature: str = "v1"
    retry_schedule: tuple[int, ...] = ()
    only: str | None = None
    events: tuple[str, ...] = ()
    joins_at_s: float = 0.0
    max_per_second: float | None = None

    @property
    def is_late(self) -> bool:
        """Whether it is made in the middle of the run."""
        return self.joins_at_s > 0

    def takes(self, task_id: str) -> bool:
        """Return whether it is to be told of a task's end."""
        return not self.events and (self.only is None or task_id[-1] in self.only)

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of its item that say what it takes."""
        if self.only is None:
            return {"events": list(self.events)} if self.events else {}
        return {"filter": {"task_id": [{"suffix": character} for character in self.only]}}


WATCHER: Final = "to-trouble"
"""The subscription that asks for every operational event, and for nothing else."""

CHECKED: Final = {"checked-well": True, "checked-badly": False}
"""The subscriptions whose endpoints are checked all through a run, and whether their receivers accept what comes."""

GONE_ANSWERS: Final = 20
"""So many requests of one delivery are answered by 410: its worker may die before it has recorded the first."""


@dataclass(frozen=True, slots=True)
class PlannedGone:
    """A subscription to the end of one task, whose receiver answers that it wants no more, and so is disabled.

    It asks to be told of disabled subscriptions, too, and is not to be told of itself.
    """

    subscription_id: str
    task_id: str

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of its item that say what it takes."""
        return {
            "events": ["task.completed", "subscription.disabled"],
            "filter": {"$or": [{"task_id": [self.task_id]}, {"reason": [{"exists": True}]}]},
        }

    @property
    def trouble(self) -> ReceiverTrouble:
        """What its receiver answers about its task."""
        return ReceiverTrouble(self.subscription_id, self.task_id, "gone", [{"status": 410}] * GONE_ANSWERS)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run does, in the order of time."""

    seed: int
    size: Size
    tasks: tuple[PlannedTask, ...]
    assets: tuple[AssetTrouble, ...]
    receivers: tuple[ReceiverTrouble, ...]
    moments: tuple[Moment, ...]
    subscriptions: tuple[PlannedSubscription, ...]
    query_many: tuple[dict[str, Any], ...]
    gone: tuple[PlannedGone, ...] = ()

    def to_json(self) -> str:
        """Return the plan as JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Return the plan that `to_json` has written."""
        document = json.loads(text)
        tasks = [task | {"trouble": tuple(task["trouble"])} for task in document["tasks"]]
        return cls(
            seed=document["seed"],
            size=Size(**document["size"]),
            tasks=tuple(PlannedTask(**task) for task in tasks),
            assets=tuple(AssetTrouble(**each) for each in document["assets"]),
            receivers=tuple(ReceiverTrouble(**each) for each in document["receivers"]),
            moments=tuple(Moment(**each) for each in document["moments"]),
            subscriptions=tuple(
                PlannedSubscription(
                    **each
                    | {"retry_schedule": tuple(each["retry_schedule"]), "events": tuple(each["events"])}
                )
                for each in document["subscriptions"]
            ),
            query_many=tuple(document["query_many"]),
            gone=tuple(PlannedGone(**each) for each in document["gone"]),
        )

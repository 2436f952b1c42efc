"""What was seen from outside of a run: plain values, which the judges look at and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.account.tasks import TASKS, SmokeTask

MAIN, REFUSING, HOOK = "main", "refusing", "hook"
"""The receivers: of every task, of MusicMint's tasks (it refuses once), of the task that names it."""


@dataclass(frozen=True)
class Webhook:
    """One request that came to a receiver, and which secrets its signature was made with.

    Parameters
    ----------
    receiver : str
        Who got it.
    webhook_id, type, task_id : str
        What it says it is.
    answered : int
        The status that the receiver answered with.
    signed_by : frozenset of str
        The names of the receiver's secrets that verify it: ``first``, ``rotated``, ``foreign``.
    links : tuple of Link
        What it names for download.
    """

    receiver: str
    webhook_id: str
    type: str
    task_id: str
    answered: int
    signed_by: frozenset[str]
    links: tuple[Link, ...] = ()
    fits_schema: bool = True


@dataclass(frozen=True)
class Link:
    """A download link of a webhook, and what came when it was followed."""

    url: str
    key: str
    told_sha256: str
    status: int
    sha256: str
    bytes: int


@dataclass(frozen=True)
class StoredObject:
    """An object of the results bucket, as it was read from there."""

    key: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class BusEvent:
    """An event that a listener of its own heard on the bus."""

    type: str
    event_id: str
    task_id: str
    detail: Mapping[str, Any]
    fits_schema: bool = True


@dataclass
class Evidence:
    """Everything that was seen.

    `None` stands for what could not be seen there at all, as on an embedded AWS that has none of it.
    """

    embedded: bool
    items: dict[str, Mapping[str, Any]]
    events: Sequence[BusEvent]
    webhooks: Sequence[Webhook]
    manifests: dict[str, Mapping[str, Any]]
    objects: dict[str, StoredObject]
    strangers: dict[str, int]
    """What the sandbox answered those who know no key: a status by what was tried."""
    redelivered: str | None
    """The `webhook-id` that was delivered once more by hand, after the rotation."""
    dead_letters: dict[str, int]
    time_to_live: dict[str, str]
    """The state by table, of those whose template asks for it."""
    alarms_wanted: frozenset[str]
    alarms: dict[str, bool]
    """Whether its actions are on, by name."""
    dashboards_wanted: frozenset[str]
    dashboards: frozenset[str] | None
    log_lines: dict[str, Sequence[str]]
    """By function: ``intake`` and so on, and ``sandbox``."""
    tracing: dict[str, str]
    """The mode by function."""
    traces: int | None
    metrics: frozenset[tuple[str, frozenset[tuple[str, str]]]] | None
    """Names and dimensions, of tunehook's own namespace and this stack's functions."""
    api: dict[str, int]
    """What the HTTP API answered: a status by what was asked of it (`judges.API_ANSWERS`)."""
    callbacks: dict[str, int]
    """What whoever called the callback URLs was answered, by what was called."""
    requests: int
    """How many requests the gateway took."""
    parameters: dict[str, str]
    seconds: float
    """From the first deployment to the end of the job."""
    tasks: Sequence[SmokeTask] = field(default=TASKS)

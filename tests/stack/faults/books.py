"""What is known of a run when it is over: what was wanted, and what everybody's own books say.

Plain values, so that books can be written by hand: what counts must be seen to count (`test_counting.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json
from tests.stack.faults.breaking import Done


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file that a task's provider has named.

    Attributes
    ----------
    clip_id, type : str
        As tunehook names it.
    paths : tuple of str
        What its links lead to at the asset host; which of them a file is taken from is not decided.
    is_served : bool
        Whether the host serves one of them in the end, for whoever asks again.
    """

    clip_id: str
    type: str
    paths: tuple[str, ...]
    is_served: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task, and what has to come of it.

    Attributes
    ----------
    provider, task_id : str
        The task.
    put_at_ms : int
        When it was put into the table.
    status : str
        How it has to end.
    receivers : frozenset of str
        The names of those that have to be told, each once.
    ended_at_ms : int or None
        When its provider knew that it had ended; None if it never did.
    files : tuple of WantedFile
        What its provider has named in the end.
    """

    provider: str
    task_id: str
    put_at_ms: int
    status: str
    receivers: frozenset[str]
    ended_at_ms: int | None
    files: tuple[WantedFile, ...] = ()

    @property
    def name(self) -> str:
        """What people call the task."""
        return f"{self.provider}/{self.task_id}"


@dataclass(frozen=True, slots=True)
class End:
    """An end that a task's item has shown in one of its writes."""

    task_id: str
    status: str
    event_id: str
    detected_at_ms: int


@dataclass(frozen=True, slots=True)
class Emitted:
    """An event that the bus has taken."""

    detail_type: str
    event_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class Serving:
    """An answer of the asset host that gave a file whole: what it was, as its host announced it."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A webhook as its receiver got it, and what became of its answer.

    Attributes
    ----------
    receiver : str
        Its name.
    delivery_id : str
        The header ``webhook-id``; empty if there was none.
    task_id : str
        The task that the body tells of; empty if it names none that was put.
    at_ms : int
        When it had been read.
    status : int or None
        What it was answered, if the answer was sent to its end.
    answered_at_ms : int or None
        When that was.
    fault : str
        What the library that verifies said against its signature; empty if it verified.
    told_status : str
        How the task ended, by the body; empty where its format does not say.
    told_files : mapping of str to str
        The digests that the body tells, by the objects' keys.
    is_rest : bool
        Whether it tells of files that were waited for when the end was told.
    """

    receiver: str
    delivery_id: str
    task_id: str
    at_ms: int
    status: int | None
    answered_at_ms: int | None
    fault: str = ""
    told_status: str = ""
    told_files: Mapping[str, str] = field(default_factory=dict)
    is_rest: bool = False

    @property
    def is_accepted(self) -> bool:
        """Whether the receiver took it, for all that the receiver knows."""
        return self.status is not None and 200 <= self.status <= 299

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.delivery_id or 'a request without webhook-id'} at {self.receiver}, task {self.task_id or '?'}"


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt as the Deliveries table has it."""

    at_ms: int
    duration_ms: int
    status_code: int | None = None
    error: str | None = None
    run: int = 1
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Record:
    """An item of the Deliveries table; `receiver` is the name of whom it goes to.

    `says_pending`: it tells of an end whose files are waited for; `is_rest`: of those files.
    """

    delivery_id: str
    task_id: str
    receiver: str
    status: str
    created_at_ms: int
    attempts: tuple[Tried, ...] = ()
    says_pending: bool = False
    is_rest: bool = False

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.delivery_id} to {self.receiver}, task {self.task_id}"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A delivery of an operational event: to whom, of what type, and about whom or what.

    `is_accepted` is whether its receiver took it; `fault` what was wrong with the signature of one of its requests.
    """

    delivery_id: str
    receiver: str
    type: str
    about: str
    is_accepted: bool
    fault: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.delivery_id} to {self.receiver}, {self.type} about {self.about}"


@dataclass(frozen=True, slots=True)
class Progress:
    """A delivery that tells of progress.

    Attributes
    ----------
    record : Record
        As the Deliveries table has it.
    receipts : tuple of Receipt
        What the receiver got of it.
    is_asked : bool
        Whether the receiver has asked for it.
    """

    record: Record
    receipts: tuple[Receipt, ...]
    is_asked: bool = True

    @property
    def begun_ms(self) -> int | None:
        """When its attempt was begun, by its record, or else by its receiver; None if none was."""
        begun = [each.at_ms for each in (*self.record.attempts, *self.receipts)]
        return min(begun, default=None)


@dataclass(frozen=True, slots=True)
class Checked:
    """A check of the endpoint of a disabled subscription, which is enabled if it passes.

    Attributes
    ----------
    receiver, delivery_id : str
        Whose, and the test that was sent.
    passed, code, status
        What it found; `status` is what the receiver was said to have answered, None for nothing.
    is_enabled : bool
        Whether the subscription was enabled afterwards.
    ended_as : str
        The status of the test's record in the end.
    attempts : int
        How many the record has.
    receipts : tuple of Receipt
        What the receiver got of it.
    """

    receiver: str
    delivery_id: str
    passed: bool
    code: str
    status: int | None
    is_enabled: bool
    ended_as: str = ""
    attempts: int = 0
    receipts: tuple[Receipt, ...] = ()

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.delivery_id} to {self.receiver}, {self.code}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message in a dead-letter queue: whose, when it came there, and what it names."""

    function: str
    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """What was asked for at the end of the run that leads where no request may go.

    `on_record` is what the tables say of its refusal; empty if they say nothing.
    """

    what: str
    on_record: str


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay for a subscription that was made in the middle of the run.

    Attributes
    ----------
    receiver : str
        Its receiver's name.
    asked : tuple of str
        The deliveries that it asked for, twice where it did so twice.
    left : tuple of str
        Those that another replay would still make in the end.
    """

    receiver: str
    asked: tuple[str, ...]
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Books:
    """All of it.

    Attributes
    ----------
    wanted : tuple of Wanted
        The tasks that were put.
    items : mapping of str to mapping
        The items of the Tasks table, as plain values, by `Wanted.name`.
    ends : frozenset of End
        Every end that an item has shown, at whatever time.
    emitted : tuple of Emitted
        What the bus has taken.
    served : tuple of Serving
        What the asset host has given whole.
    objects : mapping of str to str
        The digests of what lies in the bucket, by key.
    manifests : mapping of str to mapping
        The manifests in the bucket, by `Wanted.name`.
    receipts : tuple of Receipt
        What the receivers got, oldest first.
    records : tuple of Record
        The Deliveries table.
    dead_letters : tuple of DeadLetter
        What lies in the dead-letter queues.
    trespasses : tuple of str
        The requests that came where none may go.
    refused : tuple of Refused
        What was asked for that would have led there.
    done : tuple of Done
        What was broken.
    schedules : mapping of str to tuple of int
        The waits between attempts, in seconds, of the receivers that have some of their own.
    limits : mapping of str to float
        How many attempts a second may begin, of the receivers that have a limit.
    replays : tuple of Replay
        What was replayed.
    gone : tuple of str
        The subscriptions whose receivers wanted no more.
    disabled : tuple of str
        The subscriptions that are disabled.
    watchers : tuple of str
        The subscriptions that are to be told of all of them.
    troubles : tuple of Trouble
        The deliveries of operational events.
    progress : tuple of Progress
        What was told of progress. It is in neither `receipts` nor `records`.
    checks : tuple of Checked
        The checks of endpoints. They are in neither, too.
    failing : tuple of str
        The subscriptions that count as failing, or were disabled for it, of those whose endpoints were checked.
    """

    wanted: tuple[Wanted, ...] = ()
    items: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ends: frozenset[End] = frozenset()
    emitted: tuple[Emitted, ...] = ()
    served: tuple[Serving, ...] = ()
    objects: Mapping[str, str] = field(default_factory=dict)
    manifests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    receipts: tuple[Receipt, ...] = ()
    records: tuple[Record, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    trespasses: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    done: tuple[Done, ...] = ()
    schedules: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    replays: tuple[Replay, ...] = ()
    gone: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    watchers: tuple[str, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    progress: tuple[Progress, ...] = ()
    checks: tuple[Checked, ...] = ()
    failing: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Return them as JSON; bytes in items become base64."""
        return to_json(self, indent=1, bytes_mode="base64")

    @classmethod
    def from_json(cls, written: bytes) -> Books:
        """Return the books that were written as JSON."""
        return TypeAdapter(cls).validate_json(written)

"""Whether a new item becomes a pending task or a rejected one, and the start of a poller for it.

What a new item has replaced, or a user has deleted, may be an ended task whose event was not sent yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from intake.settings import IntakeSettings
from tunehook.adoption import ENDS, late_hook
from tunehook.aws.bus import EventBus
from tunehook.aws.clients import client
from tunehook.aws.errors import AWS_FAULTS, code_of, is_oversized
from tunehook.aws.fulfillment_queue import FulfillmentQueue
from tunehook.aws.items import from_stream, plainly_from_stream
from tunehook.aws.leases import Leases
from tunehook.aws.poller_starts import PollerStarts
from tunehook.aws.stream_marks import StreamMark, StreamMarks
from tunehook.aws.task_items import PARKED, TAKEN_IN, ended_task, pending_task
from tunehook.aws.tasks import Start, TasksTable
from tunehook.errors import InvalidInput
from tunehook.events import task_ended
from tunehook.http.guard import NetworkPolicy
from tunehook.ids import shard_of
from tunehook.tasks import Status, TaskKey, TaskRequest, check_request
from tunehook.times import now_ms

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

logger = Logger(child=True)

STOP_BEFORE_MS: Final = 15_000
"""How long before the invocation's end a scan of the table stops, to go on in another one."""


@dataclass(frozen=True, slots=True)
class _Adopted:
    """What a user wants of a run that goes on, when its provider took the task, and what is wrong with the item."""

    request: TaskRequest
    submitted_at_ms: int
    error: InvalidInput | None


@dataclass(slots=True)
class Intake:
    """Takes new items in, and starts the pollers of the shards that have got work by them.

    `bus` returns where the events of replaced runs go, and `fulfillment` the queue for deliveries to hooks that came
    late; both are needed seldom, and their clients take a while to make.
    `stream` is the ARN of the table's stream, and `marks` tell for which stream the table was scanned. `clock` returns
    milliseconds since 1970.
    """

    tasks: TasksTable
    leases: Leases
    bus: Callable[[], EventBus]
    marks: StreamMarks
    lambdas: LambdaClient
    _: KW_ONLY
    fulfillment: Callable[[], FulfillmentQueue]
    stream: str
    poller_function: str
    shard_count: int
    policy: NetworkPolicy
    clock: Callable[[], int] = now_ms
    _registered: set[int] = field(default_factory=set)

    def take_change(self, change: Mapping[str, Any]) -> int | None:
        """Take in a record's ``dynamodb`` (``OldImage``, ``NewImage``); return the shard that has got work by it.

        An error of botocore is raised if the record is to come again.
        """
        before = plainly_from_stream(change["OldImage"]) if "OldImage" in change else {}
        if "NewImage" in change and _is_adopted(before):
            item = from_stream(change["NewImage"])
            if "status" not in item:
                return self._adopt(item, before)
        self._save_unsent_end(before)
        return self.take_in(change["NewImage"]) if "NewImage" in change else None

    def take_in(self, image: Mapping[str, Any]) -> int | None:
        """Give a new item, in DynamoDB attribute values, its status, its deadline and its place in the work index.

        Return the shard that has work by it, also where an earlier record of the same item, or an earlier try of this
        one, has given it its status: whoever did may have died before it woke the poller. Return None if it is not new,
        or was changed meanwhile, which the stream tells of too.
        """
        return self._take_in(from_stream(image))

    def take_in_missed(self, remaining_ms: Callable[[], int]) -> None:
        """Scan the table once a stream, and take in what was put before the stream began.

        It stops when little of the invocation's time is left; the next call goes on from there.
        """
        mark = self.marks.get()
        if mark == StreamMark(self.stream):
            return
        stopped_at = mark.stopped_at if mark is not None and mark.stream == self.stream else None
        shards: set[int] = set()
        is_complete = True
        for items, next_at in self.tasks.new_items(stopped_at):
            stopped_at = next_at
            for item in items:
                try:
                    shard = self._take_in(item)
                except AWS_FAULTS as error:
                    is_complete = False
                    logger.warning("task_not_taken_in", task_id=item["task_id"], error=code_of(error))
                else:
                    shards |= set() if shard is None else {shard}
            if remaining_ms() < STOP_BEFORE_MS:
                break
        if is_complete:
            self.marks.set(StreamMark(self.stream, stopped_at))
        logger.info("table_scanned", is_over=is_complete and stopped_at is None, shards=sorted(shards))
        for shard in sorted(shards):
            self.wake_poller(shard)

    def wake_poller(self, shard: int) -> None:
        """Start a poller for `shard` unless one runs or was started just now; the schedule mends a lost start."""
        PollerStarts(self.leases, self.lambdas, self.poller_function, logger, self.clock).start(shard)

    def _take_in(self, item: Mapping[str, Any], adopted: _Adopted | None = None) -> int | None:
        if "status" in item:
            return None
        key = TaskKey(item["task_id"], item["provider"])
        shard = shard_of(key.task_id, self.shard_count)
        if shard not in self._registered:
            # Before it gets its first task: whatever happens then, the task is polled.
            self.leases.register(shard, self.clock())
            self._registered.add(shard)
        try:
            return None if self._decide(key, item, shard, adopted) is Start.SUPERSEDED else shard
        except ClientError as error:
            if not is_oversized(error):
                raise
            # Not even a rejection fits on it: to try again would only hold up the items behind it.
            logger.error("task_too_large", task_id=key.task_id, provider=key.provider)
            return None

    def _adopt(self, item: Mapping[str, Any], before: Mapping[str, Any]) -> int | None:
        """Let the run of a task that was taken in go on, or stay ended, as that of the user who has put it now.

        So there is one event in all. A field that is not acceptable is named in the item's `error`, and changes nothing
        else: to reject the item would lose the run.
        """
        key = TaskKey(item["task_id"], item["provider"])
        error = None
        try:
            request = check_request(item, self.policy)
        except InvalidInput as fault:
            request, error = TaskRequest(key=key), fault
        if before["status"] == Status.PENDING:
            return self._take_in(item, _Adopted(request, before["submitted_at_ms"], error))
        try:
            start = self.tasks.restore(key, item, before, error)
        except ClientError as fault:
            if not is_oversized(fault):
                raise
            start = Start.SUPERSEDED
            logger.error("task_too_large", task_id=key.task_id, provider=key.provider)
        if start is Start.SUPERSEDED:
            self._save_unsent_end(before)
            return None
        logger.info(
            "task_adopted",
            task_id=key.task_id,
            provider=key.provider,
            field=None if error is None else error.field,
        )
        if "queue" in before:
            # Its event is still to come, and finds the hook.
            return shard_of(key.task_id, self.shard_count)
        wanted = late_hook({**before, "notify_hook": request.notify_hook})
        if wanted is not None:
            self.fulfillment().send([wanted])
        return None

    def _decide(self, key: TaskKey, item: Mapping[str, Any], shard: int, adopted: _Adopted | None) -> Start:
        task: dict[str, Any] = {"task_id": key.task_id, "provider": key.provider}
        if adopted is not None:
            start = self.tasks.accept(
                adopted.request,
                item,
                shard,
                self.clock(),
                submitted_at_ms=adopted.submitted_at_ms,
                error=adopted.error,
            )
            field = None if adopted.error is None else adopted.error.field
            logger.info(_event_name(start, "task_adopted"), **task, field=field)
            return start
        try:
            request = check_request(item, self.policy)
        except InvalidInput as error:
            start = self.tasks.reject(key, item, error, shard, self.clock())
            logger.warning(_event_name(start, "task_rejected"), **task, field=error.field)
        else:
            start = self.tasks.accept(request, item, shard, self.clock())
            logger.info(_event_name(start, "task_accepted"), **task)
        return start

    def _save_unsent_end(self, item: Mapping[str, Any]) -> None:
        """Emit the event of the end that an item showed before its user put it again or deleted it, if it is unsent.

        The event goes to the bus at once, before the run that follows can have one. Where the bus does not take it, the
        run is parked: it gets an item of its own, and the poller finds it.
        """
        if item.get("status") in (None, Status.PENDING) or "queue" not in item or PARKED in item:
            return
        try:
            task = pending_task(item)
            ended = ended_task(task, self.tasks.with_details(dict(item)))
        except InvalidInput as error:
            logger.error("item_unreadable", task_id=item["task_id"], reason=error.reason)
            return
        is_emitted = False
        try:
            (is_emitted,) = self.bus().put([task_ended(ended)])
        except AWS_FAULTS as error:
            logger.warning("events_not_emitted", count=1, error=code_of(error))
        if is_emitted:
            logger.info("overwritten_end_emitted", task_id=task.key.task_id, provider=task.key.provider)
        elif self.tasks.park(task, item):
            logger.warning("overwritten_end_parked", task_id=task.key.task_id, provider=task.key.provider)


def _is_adopted(before: Mapping[str, Any]) -> bool:
    """Return whether an item that was replaced is a run that was taken in, pending or ended, and not yet anybody's."""
    if before.get(TAKEN_IN) is not True:
        return False
    try:
        task = pending_task({"queue": "", "since_ms": 0, **before})
        if before.get("status") in ENDS:
            ended_task(task, before)
            return isinstance(before.get("event_id"), str)
    except InvalidInput:
        return False
    return before.get("status") == Status.PENDING and "submitted_at_ms" in before


def _event_name(start: Start, begun: str) -> str:
    return {Start.BEGUN: begun, Start.BEGUN_BEFORE: "task_known"}.get(start, "task_superseded")


def open_intake(settings: IntakeSettings) -> Intake:
    """Make the intake that a function's environment describes."""
    dynamodb = client("dynamodb")
    return Intake(
        TasksTable(dynamodb, settings.tasks_table),
        Leases(dynamodb, settings.leases_table),
        cache(lambda: EventBus(client("events"), settings.event_bus)),
        StreamMarks(dynamodb, settings.provider_states_table),
        client("lambda"),
        fulfillment=cache(lambda: FulfillmentQueue(client("sqs"), settings.fulfillment_queue)),
        stream=settings.tasks_stream,
        poller_function=settings.poller_function,
        shard_count=settings.shard_count,
        policy=settings.network_policy,
    )

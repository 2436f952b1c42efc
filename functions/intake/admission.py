"""Whether a new item becomes a pending task or a rejected one, and the start of a poller for it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from intake.settings import IntakeSettings
from tunehook.aws.clients import client
from tunehook.aws.faults import AWS_FAULTS, code_of, is_oversized
from tunehook.aws.items import from_stream
from tunehook.aws.leases import Leases
from tunehook.aws.tasks import TasksTable
from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.identifiers import shard_of
from tunehook.tasks import TaskKey, check_request
from tunehook.times import now_ms

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

logger = Logger(child=True)


class Intake:
    """Takes new items in, and starts the pollers of the shards that have got work by them.

    Parameters
    ----------
    tasks : TasksTable
        Where the items are.
    leases : Leases
        Whether a poller runs for a shard.
    lambdas : LambdaClient
        A low-level boto3 client.
    poller_function : str
        The name of the function to start.
    shard_count : int
        How many shards there are.
    policy : NetworkPolicy
        Where a `notify_hook` may point.
    clock : callable, optional
        Returns the present moment in milliseconds since 1970.
    """

    def __init__(
        self,
        tasks: TasksTable,
        leases: Leases,
        lambdas: LambdaClient,
        *,
        poller_function: str,
        shard_count: int,
        policy: NetworkPolicy,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._tasks = tasks
        self._leases = leases
        self._lambdas = lambdas
        self._poller_function = poller_function
        self._shard_count = shard_count
        self._policy = policy
        self._clock = clock
        self._registered: set[int] = set()

    def take_in(self, image: Mapping[str, Any]) -> int | None:
        """Give a new item its status, its deadline and its place in the work index.

        Parameters
        ----------
        image : mapping
            The item as the stream shows it, in DynamoDB attribute values.

        Returns
        -------
        int or None
            The shard that has got work by it; None if it is not new. One that was taken in before, or changed
            meanwhile, counts as well: an earlier try of this record may have ended before it started a poller.
        """
        item = from_stream(image)
        if "status" in item:
            return None
        key = TaskKey(item["task_id"], item["provider"])
        shard = shard_of(key.task_id, self._shard_count)
        self._register(shard)
        try:
            self._decide(key, item, shard)
        except ClientError as error:
            if not is_oversized(error):
                raise
            # Not even a rejection fits on it: to try again would only hold up the items behind it.
            logger.error("task_too_large", task_id=key.task_id, provider=key.provider)
            return None
        return shard

    def _register(self, shard: int) -> None:
        """Make the shard known before it gets its first task: whatever happens then, the task is polled."""
        if shard not in self._registered:
            self._leases.register(shard, self._clock())
            self._registered.add(shard)

    def _decide(self, key: TaskKey, item: Mapping[str, Any], shard: int) -> None:
        try:
            request = check_request(item, self._policy)
        except InvalidInput as error:
            changed = self._tasks.reject(key, item, error, shard, self._clock())
            logger.warning(
                "task_rejected" if changed else "task_superseded",
                task_id=key.task_id,
                provider=key.provider,
                field=error.field,
            )
        else:
            changed = self._tasks.accept(request, item, shard, self._clock())
            logger.info(
                "task_accepted" if changed else "task_superseded", task_id=key.task_id, provider=key.provider
            )

    def wake_poller(self, shard: int) -> None:
        """Start a poller for `shard` unless one runs or was started just now; the schedule mends a lost start."""
        starter, present_ms = uuid.uuid4().hex, self._clock()
        try:
            if self._leases.is_live(shard, present_ms):
                return
            if not self._leases.begin_start(shard, starter, present_ms):
                return
        except AWS_FAULTS as error:
            # The tasks are in: to fail now would only have their records come again, to no avail.
            logger.warning("poller_not_started", shard=shard, error=code_of(error))
            return
        try:
            self._lambdas.invoke(
                FunctionName=self._poller_function,
                InvocationType="Event",
                Payload=json.dumps({"started_by": "intake", "shard": shard}).encode(),
            )
        except AWS_FAULTS as error:
            logger.warning("poller_not_started", shard=shard, error=code_of(error))
            self._undo_start(shard, starter)
        else:
            logger.info("poller_started", shard=shard)

    def _undo_start(self, shard: int, starter: str) -> None:
        try:
            self._leases.undo_start(shard, starter)
        except AWS_FAULTS as error:
            # The next one may start a poller after seconds, or the schedule does.
            logger.warning("start_not_undone", shard=shard, error=code_of(error))


def open_intake(settings: IntakeSettings) -> Intake:
    """Make the intake that a function's environment describes."""
    dynamodb = client("dynamodb")
    return Intake(
        TasksTable(dynamodb, settings.tasks_table),
        Leases(dynamodb, settings.leases_table),
        client("lambda"),
        poller_function=settings.poller_function,
        shard_count=settings.shard_count,
        policy=settings.network_policy,
    )

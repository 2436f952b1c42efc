"""Whether a new item becomes a pending task or a rejected one, and the start of a poller for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from intake.settings import IntakeSettings
from tunehook.aws.clients import client
from tunehook.aws.faults import AWS_FAULTS, code_of, is_oversized
from tunehook.aws.items import from_stream
from tunehook.aws.leases import Leases
from tunehook.aws.tasks import Start, TasksTable
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
            The shard that has work by it, also where an earlier record of the same item, or an earlier try of this
            one, has given it its status: whoever did may have died before it woke the poller. None if it is not new,
            or was changed meanwhile, which the stream tells of too.
        """
        item = from_stream(image)
        if "status" in item:
            return None
        key = TaskKey(item["task_id"], item["provider"])
        shard = shard_of(key.task_id, self._shard_count)
        self._register(shard)
        try:
            return None if self._decide(key, item, shard) is Start.SUPERSEDED else shard
        except ClientError as error:
            if not is_oversized(error):
                raise
            # Not even a rejection fits on it: to try again would only hold up the items behind it.
            logger.error("task_too_large", task_id=key.task_id, provider=key.provider)
            return None

    def _register(self, shard: int) -> None:
        """Make the shard known before it gets its first task: whatever happens then, the task is polled."""
        if shard not in self._registered:
            self._leases.register(shard, self._clock())
            self._registered.add(shard)

    def _decide(self, key: TaskKey, item: Mapping[str, Any], shard: int) -> Start:
        try:
            request = check_request(item, self._policy)
        except InvalidInput as error:
            start = self._tasks.reject(key, item, error, shard, self._clock())
            logger.warning(
                _word_for(start, "task_rejected"),
                task_id=key.task_id,
                provider=key.provider,
                field=error.field,
            )
        else:
            start = self._tasks.accept(request, item, shard, self._clock())
            logger.info(_word_for(start, "task_accepted"), task_id=key.task_id, provider=key.provider)
        return start

    def wake_poller(self, shard: int) -> None:
        """Start a poller for `shard` unless one is running; the schedule mends a start that is lost."""
        try:
            if self._leases.is_live(shard, self._clock()):
                return
            self._lambdas.invoke(
                FunctionName=self._poller_function,
                InvocationType="Event",
                Payload=json.dumps({"started_by": "intake", "shard": shard}).encode(),
            )
        except AWS_FAULTS as error:
            # The tasks are in: to fail now would only have their records come again, to no avail.
            logger.warning("poller_not_started", shard=shard, error=code_of(error))
        else:
            logger.info("poller_started", shard=shard)


def _word_for(start: Start, begun: str) -> str:
    return {Start.BEGUN: begun, Start.BEGUN_BEFORE: "task_known"}.get(start, "task_superseded")


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

"""Handler of the intake function: new items of the Tasks table, from its stream."""

from __future__ import annotations

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.typing import LambdaContext

from intake.admission import Intake
from intake.settings import IntakeSettings
from tunehook.aws.clients import client
from tunehook.aws.leases import Leases
from tunehook.aws.tasks import TasksTable
from tunehook.settings import load_settings

logger = Logger()


@cache
def intake() -> Intake:
    """Return the intake of this execution environment."""
    settings = load_settings(IntakeSettings)
    dynamodb = client("dynamodb")
    return Intake(
        TasksTable(dynamodb, settings.tasks_table),
        Leases(dynamodb, settings.leases_table),
        client("lambda"),
        poller_function=settings.poller_function,
        shard_count=settings.shard_count,
        policy=settings.network_policy,
    )


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Take the new items in; answer with the records that are to come again."""
    woken: set[int] = set()

    def take_in(record: Any) -> None:
        try:
            shard = intake().take_in(record.raw_event["dynamodb"]["NewImage"])
        except Exception:
            logger.exception("record_failed")
            raise
        if shard is not None:
            woken.add(shard)

    processor = BatchProcessor(event_type=EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)
    answer = process_partial_response(event, take_in, processor, context)
    for shard in sorted(woken):
        intake().wake_poller(shard)
    return answer

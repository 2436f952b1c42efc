"""Handler of the intake function: what users change in the Tasks table, from its stream."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from intake.admission import Intake, open_intake
from intake.settings import IntakeSettings
from tunehook.settings import load_settings

logger = Logger()


@cache
def intake() -> Intake:
    """Return the intake of this execution environment."""
    return open_intake(load_settings(IntakeSettings))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Take in what has changed, and answer with the records that are to come again; without records, scan for more."""
    if "Records" not in event:
        intake().take_in_missed(context.get_remaining_time_in_millis)
        return {"batchItemFailures": []}
    shards: set[int] = set()

    def take(record: Any) -> None:
        if (shard := intake().take_change(record.raw_event["dynamodb"])) is not None:
            shards.add(shard)

    processor = BatchProcessor(EventType.DynamoDBStreams, raise_on_entire_batch_failure=False, logger=logger)  # type: ignore[arg-type]
    answer = process_partial_response(event, take, processor, context)
    for shard in sorted(shards):
        intake().wake_poller(shard)
    return answer

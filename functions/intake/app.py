"""Handler of the intake function: new items of the Tasks table, from its stream."""

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
    """Take the new items in; answer with the records that are to come again."""
    woken: set[int] = set()

    def take_in(record: Any) -> None:
        if (shard := intake().take_in(record.raw_event["dynamodb"]["NewImage"])) is not None:
            woken.add(shard)

    processor = BatchProcessor(EventType.DynamoDBStreams, raise_on_entire_batch_failure=False, logger=logger)  # type: ignore[arg-type]
    answer = process_partial_response(event, take_in, processor, context)
    for shard in sorted(woken):
        intake().wake_poller(shard)
    return answer

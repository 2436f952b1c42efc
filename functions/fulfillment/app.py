"""The handler of the fulfillment function: ended tasks, from the bus through the fulfillment queue."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from fulfillment.settings import FulfillmentSettings
from fulfillment.worker import Worker, report
from tunehook.settings import load_settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()


@cache
def _worker() -> Worker:
    return Worker(load_settings(FulfillmentSettings))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Do what follows the end of each task; report the messages that must come again."""
    records = event["Records"]
    results = _worker().handle(records, context.get_remaining_time_in_millis)
    failed = [each["messageId"] for each, result in zip(records, results, strict=True) if report(result)]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}

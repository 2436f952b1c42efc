"""The handler of the fulfillment function: ended tasks, from the bus through the fulfillment queue."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

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
    remaining_ms = context.get_remaining_time_in_millis
    results = iter(asyncio.run(_worker().handle(event["Records"], remaining_ms)))

    def settle(record: object) -> None:  # noqa: ARG001 - Powertools passes it by this name
        report(next(results))

    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event, settle, processor, context)

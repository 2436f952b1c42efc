"""The handler of the webhooks function: messages of the deliveries queue."""

import asyncio
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from tunehook.settings import load_settings
from webhooks.report import report
from webhooks.settings import WebhooksSettings
from webhooks.worker import Worker

logger = Logger()
metrics = Metrics(namespace="tunehook")


@cache
def _worker() -> Worker:
    return Worker(load_settings(WebhooksSettings))


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Make the attempts that the messages ask for; report the messages that must come again."""
    bodies = [record["body"] for record in event["Records"]]
    metrics.add_metric("MessagesReceived", "Count", len(bodies))
    outcomes = iter(asyncio.run(_worker().handle(bodies, context.get_remaining_time_in_millis)))

    def settle(record: object) -> None:  # noqa: ARG001 - Powertools passes it by this name
        report(next(outcomes), logger, metrics)

    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event, settle, processor, context)

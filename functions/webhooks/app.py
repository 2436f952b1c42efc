"""The handler of the webhooks function: messages of the deliveries queue."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from tunehook.aws.clients import client
from tunehook.settings import load_settings
from webhooks.report import Report
from webhooks.settings import WebhooksSettings
from webhooks.worker import Worker

logger = Logger()


@cache
def _worker() -> Worker:
    return Worker(load_settings(WebhooksSettings), client("dynamodb"))


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Make the attempts that the messages ask for; report the messages that must come again."""
    outcomes = iter(_worker().handle(event["Records"], context.get_remaining_time_in_millis))
    report = Report(logger)

    def settle(record: object) -> None:  # noqa: ARG001 - Powertools passes it by this name
        report.add(next(outcomes))

    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    try:
        return process_partial_response(event, settle, processor, context)
    finally:
        report.tell()

"""The handler of the webhooks function: messages of the deliveries queue."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from tunehook.aws.clients import client
from tunehook.settings import load_settings
from webhooks.metrics import Metrics
from webhooks.settings import WebhooksSettings
from webhooks.worker import Worker

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()


@cache
def _worker() -> Worker:
    return Worker(load_settings(WebhooksSettings), client("dynamodb"))


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Make the attempts that the messages ask for; report the messages that must come again."""
    results = _worker().handle(event["Records"], context.get_remaining_time_in_millis)
    metrics = Metrics(_worker().observability)
    try:
        come_again = [metrics.record(result) for result in results]
    finally:
        metrics.emit()
    failed = [each["messageId"] for each, again in zip(event["Records"], come_again, strict=True) if again]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}

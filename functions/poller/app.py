"""Handler of the poller function: started by the schedule every minute, and by intake."""

from __future__ import annotations

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from poller.service import Poller, PollerStart
from poller.settings import PollerSettings
from tunehook.aws.clients import client
from tunehook.settings import load_settings

logger = Logger()


@cache
def poller() -> Poller:
    """Return the poller of this execution environment."""
    return Poller(
        load_settings(PollerSettings),
        dynamodb=client("dynamodb"),
        events=client("events"),
        lambdas=client("lambda"),
        secrets=client("secretsmanager"),
    )


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Watch one shard, or start a poller for each."""
    start = PollerStart.model_validate(event)
    return poller().run(
        start, context.aws_request_id, context.function_name, context.get_remaining_time_in_millis
    )

"""The errors of boto3 calls: their classes, their codes, and the failure of a condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

AWS_FAULTS: Final = (BotoCoreError, ClientError)
"""What a boto3 call raises after its own retries."""


THROTTLED: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
"""What botocore tries again as throttling (botocore.retries.standard)."""


def code_of(fault: Exception) -> str:
    """Return the service's error code, or the error's class, for a log."""
    if isinstance(fault, ClientError):
        return str(fault.response.get("Error", {}).get("Code", "ClientError"))
    return type(fault).__name__


def is_oversized(fault: ClientError) -> bool:
    """Return whether a write was refused because the item would be larger than DynamoDB's 400 kB."""
    message = str(fault.response.get("Error", {}).get("Message", "")).lower()
    return code_of(fault) == "ValidationException" and "item size" in message


def is_condition_failure(fault: ClientError) -> bool:
    """Return whether a conditional write was refused because its condition does not hold."""
    return code_of(fault) == "ConditionalCheckFailedException"


def was_repeated(response: Mapping[str, Any]) -> bool:
    """Return whether boto3 has retried the call of this response, so that an earlier try may have been applied."""
    return bool(response.get("ResponseMetadata", {}).get("RetryAttempts"))

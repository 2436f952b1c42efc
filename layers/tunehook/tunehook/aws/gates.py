"""The ReceiverGates table: whom a worker may make attempts to without asking, and who has to wait.

A receiver that hangs holds up the worker that waits for it. So one that nobody has had an answer of lately is tried by
one worker of the fleet at a time, and one that hangs is left alone for a while. What is written here is worth nothing
after ten minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from tunehook.aws.faults import is_condition_failure
from tunehook.aws.items import from_attributes, to_attributes

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TRIAL_MS: Final = 20_000
"""How long a trial counts: longer than an attempt, so that only one whose worker has died is replaced."""

PROVEN_MS: Final = 60_000
"""How long an answer lets every worker in without asking again."""

LONGEST_WAIT_MS: Final = 600_000
"""How long a receiver is left alone at most."""

_KEPT_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Gate:
    """What is known of a receiver; times in milliseconds since 1970, 0 for none.

    Attributes
    ----------
    proven_until_ms : int
        Until when everybody may go in.
    trial_since_ms : int
        Since when a worker is trying it.
    shut_until_ms : int
        Until when nobody may try it.
    wait_ms : int
        How long it was left alone the last time, since it hangs.
    third_last_failure_ms : int
        When the last but two of the failures since its last answer was.
    """

    proven_until_ms: int = 0
    trial_since_ms: int = 0
    shut_until_ms: int = 0
    wait_ms: int = 0
    third_last_failure_ms: int = 0


class ReceiverGates:
    """The gates of all receivers.

    Parameters
    ----------
    client : DynamoDBClient
        A low-level boto3 client.
    name : str
        The table's name.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self._name = name

    def enter(self, receiver: str, now_ms: int) -> tuple[bool, Gate]:
        """Begin a trial, unless the receiver is proven, being tried, or left alone.

        Parameters
        ----------
        receiver : str
            What stands for its URL.
        now_ms : int
            The present moment. What lies further ahead than can be was written by a clock that was wrong, and is void.

        Returns
        -------
        entered : bool
            Whether the trial is the caller's to make.
        gate : Gate
            What is known of the receiver.
        """
        try:
            answer = self._update(
                receiver,
                "SET trial_since_ms = :now, expires_at = :expires_at",
                {
                    ":now": now_ms,
                    ":ahead": now_ms + 1,
                    ":proven_max": now_ms + PROVEN_MS,
                    ":shut_max": now_ms + LONGEST_WAIT_MS,
                    ":trial_min": now_ms - TRIAL_MS + 1,
                    ":trial_max": now_ms + TRIAL_MS,
                    ":expires_at": now_ms // 1000 + _KEPT_S,
                },
                ConditionExpression=(
                    "(NOT proven_until_ms BETWEEN :ahead AND :proven_max)"
                    " AND (NOT shut_until_ms BETWEEN :ahead AND :shut_max)"
                    " AND (NOT trial_since_ms BETWEEN :trial_min AND :trial_max)"
                ),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if not is_condition_failure(error):
                raise
            return False, _gate(error.response.get("Item", {}))
        return True, _gate(answer["Attributes"])

    def prove(self, receiver: str, now_ms: int) -> None:
        """Say that the receiver has answered, and forget what went before."""
        self._update(
            receiver,
            "SET proven_until_ms = :until, expires_at = :expires_at"
            " REMOVE trial_since_ms, shut_until_ms, wait_ms, failure_1_ms, failure_2_ms, failure_3_ms",
            {":until": now_ms + PROVEN_MS, ":expires_at": now_ms // 1000 + _KEPT_S},
        )

    def fail(self, receiver: str, now_ms: int) -> Gate:
        """Say that no connection or no answer came, and return what is known with that."""
        answer = self._update(
            receiver,
            "SET failure_3_ms = if_not_exists(failure_2_ms, :none), failure_2_ms = if_not_exists(failure_1_ms, :none),"
            " failure_1_ms = :now, expires_at = :expires_at REMOVE proven_until_ms",
            {":none": 0, ":now": now_ms, ":expires_at": now_ms // 1000 + _KEPT_S},
            ReturnValues="ALL_NEW",
        )
        return _gate(answer["Attributes"])

    def shut(self, receiver: str, now_ms: int, wait_ms: int, *, after_ms: int) -> bool:
        """Leave the receiver alone for `wait_ms`, if it was left alone for `after_ms` the last time, 0 being never.

        Returns
        -------
        bool
            False if another worker has changed that meanwhile.
        """
        try:
            self._update(
                receiver,
                "SET shut_until_ms = :until, wait_ms = :wait_ms REMOVE trial_since_ms, proven_until_ms",
                {":until": now_ms + wait_ms, ":wait_ms": wait_ms}
                | ({":after": after_ms} if after_ms else {}),
                ConditionExpression="wait_ms = :after" if after_ms else "attribute_not_exists(wait_ms)",
            )
        except ClientError as error:
            if is_condition_failure(error):
                return False
            raise
        return True

    def leave(self, receiver: str) -> None:
        """End a trial that showed nothing."""
        self._update(receiver, "REMOVE trial_since_ms", {})

    def _update(self, receiver: str, update: str, values: dict[str, int], **options: Any) -> dict[str, Any]:
        if values:
            options["ExpressionAttributeValues"] = to_attributes(values)
        return dict(
            self._client.update_item(
                TableName=self._name,
                Key=to_attributes({"receiver": receiver}),
                UpdateExpression=update,
                **options,
            )
        )


def _gate(attributes: Any) -> Gate:
    item = from_attributes(attributes)
    return Gate(
        proven_until_ms=item.get("proven_until_ms", 0),
        trial_since_ms=item.get("trial_since_ms", 0),
        shut_until_ms=item.get("shut_until_ms", 0),
        wait_ms=item.get("wait_ms", 0),
        third_last_failure_ms=item.get("failure_3_ms", 0),
    )

"""Changes to a subscription that are made by hand: enabled again, its secret rotated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tunehook.aws.faults import is_condition_failure
from tunehook.aws.items import to_attributes

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class SubscriptionChanges:
    """Changes items of the Subscriptions table.

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

    def enable(self, subscription_id: str) -> bool:
        """Enable a subscription, and forget how it has failed; return False if there is none."""
        return self._update(
            subscription_id,
            UpdateExpression=(
                "SET enabled = :enabled REMOVE disabled_reason, failing_since_ms, failing_warned_ms"
            ),
            ConditionExpression="attribute_exists(subscription_id)",
            ExpressionAttributeValues=to_attributes({":enabled": True}),
        )

    def rotate(self, subscription_id: str, *, version: int, previous_until_ms: int) -> bool:
        """Raise the version of a subscription's secret.

        Parameters
        ----------
        subscription_id : str
            Whose secret.
        version : int
            The version until now, which an item without ``secret_version`` has as 1.
        previous_until_ms : int
            Until when the secret of that version signs too, in milliseconds since 1970
            (docs/webhook-contract.md, "The request").

        Returns
        -------
        bool
            False, and nothing is changed, if there is no such subscription or its version is another one.
        """
        unversioned = " OR attribute_not_exists(secret_version)" if version == 1 else ""
        return self._update(
            subscription_id,
            UpdateExpression="SET secret_version = :next, previous_secret_until_ms = :until_ms",
            ConditionExpression=f"attribute_exists(subscription_id) AND (secret_version = :version{unversioned})",
            ExpressionAttributeValues=to_attributes(
                {":version": version, ":next": version + 1, ":until_ms": previous_until_ms}
            ),
        )

    def _update(self, subscription_id: str, **update: Any) -> bool:
        try:
            self._client.update_item(
                TableName=self._name, Key=to_attributes({"subscription_id": subscription_id}), **update
            )
        except ClientError as error:
            if is_condition_failure(error):
                return False
            raise
        return True

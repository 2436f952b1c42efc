"""The fulfillment queue, as those see it who send it anything but events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tunehook.errors import Unavailable
from tunehook.fulfillment_requests import ArchiveRequest, DeliveryRequest, ProgressRequest

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_MESSAGES_A_CALL: Final = 10


@dataclass(frozen=True, slots=True)
class FulfillmentQueue:
    """The queue of a URL."""

    sqs: SQSClient
    url: str

    def send(self, requests: Sequence[ArchiveRequest | DeliveryRequest | ProgressRequest]) -> None:
        """Send requests.

        Raises `Unavailable` if the queue refuses some of them; those before are on their way.
        """
        for start in range(0, len(requests), _MESSAGES_A_CALL):
            batch = requests[start : start + _MESSAGES_A_CALL]
            answer = self.sqs.send_message_batch(
                QueueUrl=self.url,
                Entries=[
                    {"Id": str(number), "MessageBody": request.model_dump_json()}
                    for number, request in enumerate(batch)
                ],
            )
            if refused := answer.get("Failed"):
                raise Unavailable(
                    f"the fulfillment queue does not take {len(refused)} messages ({refused[0]['Code']}): try again"
                )

"""The webhooks of a run, read as a receiver reads them: verified when they come, then parsed."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError
from tests.stack.faults import world
from tests.stack.faults.books import Receipt

from tunehook.signatures import SignatureScheme, derive_public_key, derive_secret
from tunehook.times import to_ms

_OLDEST_S: Final = 300
"""How far a timestamp may be from when its request came, as the specification has it."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What verifies the webhooks of a receiver: the secret of HMAC, the public key of Ed25519, or both."""

    secret: str | None = None
    public_key: str | None = None

    @classmethod
    def of(cls, master_secret: str, subscription_id: str, scheme: SignatureScheme) -> Self:
        """Return those of a subscription whose secret was never rotated."""
        named = (master_secret, subscription_id, 1)
        return cls(
            derive_secret(*named) if "v1" in scheme.identifiers else None,
            derive_public_key(*named) if "v1a" in scheme.identifiers else None,
        )

    def fault(self, body: bytes, headers: Mapping[str, str], received_at_s: float) -> str:
        """Return what is wrong with the signatures of a request; empty if it has those that it should, all genuine."""
        signatures = headers.get("webhook-signature", "").split(" ")
        kinds = [each.partition(",")[0] for each in signatures]
        wanted = ["v1"] * (self.secret is not None) + ["v1a"] * (self.public_key is not None)
        if kinds != wanted:
            return f"signed by {kinds}, not by {wanted}"
        try:
            if self.secret is not None:
                Webhook(self.secret).verify(body, dict(headers))
            if self.public_key is not None:
                _verify_ed25519(self.public_key, signatures[-1], body, headers, received_at_s)
        except (WebhookVerificationError, InvalidSignature, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        return ""


def _verify_ed25519(
    public_key: str, signature: str, body: bytes, headers: Mapping[str, str], received_at_s: float
) -> None:
    timestamp = headers.get("webhook-timestamp", "")
    if abs(int(timestamp) - received_at_s) > _OLDEST_S:
        raise ValueError(f"the timestamp {timestamp} is far from when it came")
    key = Ed25519PublicKey.from_public_bytes(
        base64.b64decode(public_key.removeprefix("whpk_"), validate=True)
    )
    content = f"{headers.get('webhook-id', '')}.{timestamp}.".encode() + body
    key.verify(base64.b64decode(signature.removeprefix("v1a,"), validate=True), content)


class Reader:
    """Reads every request that the receivers of a run get.

    Parameters
    ----------
    keys : mapping of str to Keys
        What verifies each receiver's webhooks, by its name.
    task_ids : collection of str
        The tasks that webhooks may tell of.
    """

    def __init__(self, keys: Mapping[str, Keys], task_ids: Collection[str]) -> None:
        self._keys = dict(keys)
        self._task_ids = frozenset(task_ids)
        self._faults: list[str] = []

    def verify(self, received: list[world.Receipt]) -> None:
        """Verify what has come since the last time. Soon after it came: the library wants no old timestamps."""
        for receipt in received[len(self._faults) :]:
            self._faults.append(self._fault(receipt))

    def read(self, received: list[world.Receipt]) -> Iterator[Receipt]:
        """Yield all that has come, parsed."""
        self.verify(received)
        for receipt, fault in zip(received, self._faults, strict=True):
            yield self._receipt(receipt, fault)

    def _fault(self, receipt: world.Receipt) -> str:
        request = receipt.request
        keys = self._keys.get(request.name)
        if keys is None:
            return "there is no such receiver"
        return keys.fault(request.body, request.headers, request.received_at.timestamp())

    def _receipt(self, receipt: world.Receipt, fault: str) -> Receipt:
        request = receipt.request
        body = _parsed(request.body)
        data = body.get("data") if isinstance(body.get("type"), str) else None
        data = data if isinstance(data, dict) else {}
        assets = [asset for clip in data.get("clips", ()) for asset in clip.get("assets", ())]
        return Receipt(
            receiver=request.name,
            delivery_id=request.headers.get("webhook-id", ""),
            task_id=next((text for text in _texts(body) if text in self._task_ids), ""),
            at_ms=to_ms(request.received_at),
            status=receipt.status,
            answered_at_ms=None if receipt.answered_at is None else to_ms(receipt.answered_at),
            fault=fault,
            told_status=_told_status(body["type"], data) if data else "",
            told_files={asset["key"]: asset["sha256"] for asset in assets if asset.get("key")},
            is_rest=bool(data) and body["type"] == "task.archived",
        )


def _told_status(kind: str, data: dict[str, Any]) -> str:
    if kind == "task.archived":
        return "completed" if data.get("status") == "completed" else "failed"
    return kind.removeprefix("task.")


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _texts(value: object) -> Iterator[str]:
    """Yield the texts in a document: in whatever field, one of them is the task's id, in each of the formats."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)

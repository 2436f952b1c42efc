"""The body of a webhook in the three formats of docs/webhook-contract.md, "The request"."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from pydantic_core import from_json, to_json

from tunehook.aws.links import LINK_LIFE_S
from tunehook.deliveries import Delivery
from tunehook.errors import InvalidInput
from tunehook.operational import subject_of
from tunehook.tasks import Format
from tunehook.times import from_ms, iso

MAX_BODY_BYTES: Final = 20_000
"""A body that we make up is shorter than this; the provider's own object is sent as it is."""

_MAX_REASON_LENGTH: Final = 1000
_NO_LINK: Final = {"url": None, "url_expires_at": None}

Data = dict[str, Any]
SignLink = Callable[[str], str]
"""A function that makes a download link, lasting `LINK_LIFE_S` at most, of an S3 key."""


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes to sign and to send, and their media type."""

    content: bytes
    content_type: str


def render(delivery: Delivery, sign_link: SignLink, now_ms: int) -> Body:
    """Return the body of an attempt, with download links that are made at `now_ms`.

    It is below 20,000 bytes in the formats ``standard`` and ``cloudevents``: what does not fit is left out, and
    ``data.truncated`` says so.

    Raises
    ------
    InvalidInput
        If the record's payload was changed by hand into something else, or is gone.
    """
    if not delivery.payload:
        raise InvalidInput("payload", "is gone, or not as tunehook writes it")
    if delivery.format is Format.PROVIDER:
        return Body(delivery.payload.encode("utf-8", "replace"), "application/json; charset=utf-8")
    try:
        data = _parsed(delivery.payload)
        assets = _assets(data)
        expires_at = iso(from_ms(now_ms + LINK_LIFE_S * 1000)) if assets else None
        for asset in assets:
            key = asset.get("key")
            asset.update({"url": sign_link(key), "url_expires_at": expires_at} if key else _NO_LINK)
    except (ValueError, TypeError, AttributeError):
        raise InvalidInput("payload", "is not as tunehook writes it") from None
    event_at = iso(from_ms(delivery.event_at_ms))
    if delivery.format is not Format.CLOUDEVENTS:
        content = _fitting(data, {"type": delivery.type, "timestamp": event_at})
        return Body(content, "application/json; charset=utf-8")
    provider = delivery.provider
    attributes = {  # CloudEvents 1.0.2, section 3.1
        "specversion": "1.0",
        "id": delivery.event_id,
        "source": "tunehook" if provider is None else f"tunehook/{quote(provider, safe='')}",
        "type": delivery.type,
        "subject": subject_of(data) if delivery.task_id is None else delivery.task_id,
        "time": event_at,
        "datacontenttype": "application/json",
    }
    return Body(_fitting(data, attributes), "application/cloudevents+json; charset=utf-8")


def _assets(data: Data) -> list[Data]:
    return [asset for clip in data.get("clips", ()) for asset in clip.get("assets", ())]


def _fitting(data: Data, envelope: Data) -> bytes:
    content = _json(envelope | {"data": data})
    for leave_out in _REDUCTIONS:
        if len(content) < MAX_BODY_BYTES:
            break
        leave_out(data)
        data["truncated"] = True
        content = _json(envelope | {"data": data})
    return content


def _parsed(payload: str) -> Any:
    try:
        return from_json(payload, allow_inf_nan=False)
    except ValueError:
        return _decode(payload)


def _json(value: Data) -> bytes:
    try:
        return to_json(value)
    except ValueError:
        # A provider's text may hold half a surrogate pair, which UTF-8 cannot carry.
        return _encode(value).encode("utf-8", "replace")


# pydantic's take a quarter of the time of these, which take what those refuse.
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
# NaN and the infinities, which Python's parser lets through, have no form in JSON.
_decode: Final = json.JSONDecoder(parse_constant=lambda _: None).decode


def _leave_out_texts(data: Data) -> None:
    for clip in data.get("clips", ()):
        clip.pop("prompt", None)
        clip.pop("text", None)


def _leave_out_lesser_links(data: Data) -> None:
    """Leave out the links of pictures and videos beside a song; the one file of an output keeps its link."""
    for clip in data.get("clips", ()):
        if len(assets := clip.get("assets", ())) > 1:
            _leave_out_links(assets)


def _leave_out_links(assets: Iterable[Data]) -> None:
    for asset in assets:
        if asset.get("type") not in ("audio", "lyrics"):
            asset.update(_NO_LINK)
            asset.pop("source_url", None)


def _shorten_reason(data: Data) -> None:
    if failure := data.get("failure"):
        failure["reason"] = str(failure.get("reason"))[:_MAX_REASON_LENGTH]


# In this order, until the body fits; the manifest in S3 holds everything.
_REDUCTIONS: Final = (
    _leave_out_texts,
    _leave_out_lesser_links,
    lambda data: _leave_out_links(_assets(data)),
    _shorten_reason,
    lambda data: data.update(clips=[]),
    lambda data: data.update(metadata={}),
)

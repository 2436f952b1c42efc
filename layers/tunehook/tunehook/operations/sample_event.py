"""Deliveries about what there is not: a ``webhook.test``, whose type says so, and samples, whose data does."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from tunehook.deliveries import Delivery, new_delivery
from tunehook.errors import InvalidInput
from tunehook.events import (
    DeadLettersFound,
    OperationalEvent,
    ProviderUnauthorised,
    SubscriptionDisabled,
    SubscriptionFailing,
)
from tunehook.operational import delivery_to
from tunehook.result_keys import asset_key, manifest_key
from tunehook.subscriptions import OPERATIONAL, SUBSCRIBABLE, Recipient, WebhookType, supports
from tunehook.tasks import Format
from tunehook.times import from_ms, iso

if TYPE_CHECKING:
    from tunehook.subscriptions import Subscription

TASK_ID: Final = "webhook-test"
PROVIDER: Final = "test"


def sample_delivery(subscription: Subscription, now_ms: int) -> Delivery:
    """Return a delivery of ``webhook.test``, due now, about a completed task ``webhook-test`` without clips."""
    # As suno gateways write it (docs/provider-contracts.md, "At a glance").
    task = {"task_id": TASK_ID, "status": "SUCCESS", "fail_reason": "", "progress": "100%", "data": []}
    content = task if subscription.format is Format.PROVIDER else _data(now_ms)
    return new_delivery(
        event_id=f"evt_{secrets.token_hex(16)}",
        subscription_id=subscription.subscription_id,
        task_id=TASK_ID,
        provider=PROVIDER,
        type=WebhookType.WEBHOOK_TEST.value,
        event_at_ms=now_ms,
        format=subscription.format,
        payload=json.dumps(content),
        now_ms=now_ms,
    )


def _data(now_ms: int) -> dict[str, Any]:
    now = iso(from_ms(now_ms))
    return {
        "task_id": TASK_ID,
        "provider": PROVIDER,
        "status": "completed",
        "submitted_at": now,
        "finished_at": now,
        "detected_at": now,
        "metadata": {},
        "clips": [],
        "failure": None,
        "archive": "empty",
        "manifest": None,
        "truncated": False,
    }


SAMPLE_PROVIDER: Final = "sample"

_CLIPS: Final = (
    ("City Lights", 187.4, "[Verse]\nThe city lights are calling me home\n\n[Chorus]\nHome, home again"),
    ("City Lights (acoustic)", 171.9, "[Verse]\nThe city lights are calling me home\n\n[Outro]\nHome"),
)
_FILES: Final = (
    ("audio", "mp3", "audio/mpeg"),
    ("cover", "jpg", "image/jpeg"),
    ("lyrics", "txt", "text/plain"),
)
_METADATA: Final = {"user_id": "user-42", "order": 1001}
_REASON: Final = "the lyrics were refused by the content filter"


def sample_event(kind: str, recipient: Recipient, bucket: str, now_ms: int) -> Delivery:
    """Return a delivery of a made-up event, due now: a song of two clips, with its files, lyrics and metadata.

    An operational event is about a subscription, a provider or a queue. Its ``data``, or in the format ``provider`` its
    task object, has ``sample: true``. Its files are named in `bucket`, and are not there.

    Raises `InvalidInput` if there is no such kind of event, or the recipient's format does not tell of it.

    >>> from tunehook.subscriptions import Recipient
    >>> from tunehook.tasks import Format
    >>> sample_event("task.failed", Recipient("sub-1", Format.STANDARD), "results", 0).type
    'task.failed'
    """
    if kind not in tuple(SUBSCRIBABLE):
        raise InvalidInput("event", f"must be one of {', '.join(SUBSCRIBABLE)}")
    event = WebhookType(kind)
    if not supports(recipient.format, event):
        raise InvalidInput("event", f"the format {recipient.format} has no {event}")
    if event in OPERATIONAL:
        return delivery_to(recipient, _operational(event, now_ms), now_ms, sample=True)
    task_id = f"sample-{secrets.token_hex(8)}"
    if recipient.format is Format.PROVIDER:
        content = _task_object(task_id, event, now_ms)
    elif event is WebhookType.TASK_PROGRESS:
        content = _progress(task_id, now_ms)
    else:
        content = _sample_data(task_id, event is WebhookType.TASK_FAILED, bucket, now_ms)
    return new_delivery(
        event_id=f"evt_{secrets.token_hex(16)}",
        subscription_id=recipient.subscription_id,
        url=recipient.url,
        task_id=task_id,
        provider=SAMPLE_PROVIDER,
        type=event.value,
        event_at_ms=now_ms,
        format=recipient.format,
        payload=json.dumps(content),
        now_ms=now_ms,
    )


def _operational(kind: WebhookType, now_ms: int) -> OperationalEvent:
    event_id, now, name = f"evt_{secrets.token_hex(16)}", from_ms(now_ms), f"sample-{secrets.token_hex(8)}"
    five_days = timedelta(days=5)
    match kind:
        case WebhookType.SUBSCRIPTION_FAILING:
            return SubscriptionFailing(
                event_id=event_id,
                subscription_id=name,
                failing_since=now - five_days / 2,
                percent=50,
                disabled_at=now + five_days / 2,
            )
        case WebhookType.SUBSCRIPTION_DISABLED:
            return SubscriptionDisabled(
                event_id=event_id,
                subscription_id=name,
                disabled_at=now,
                failing_since=now - five_days,
                reason="every attempt has failed for 5 days",
            )
        case WebhookType.PROVIDER_UNAUTHORISED:
            return ProviderUnauthorised(
                event_id=event_id,
                provider=SAMPLE_PROVIDER,
                reason="key",
                message="HTTP 401: Invalid token",
                was_accepted=True,
                since=now,
                tasks_waiting=3,
            )
    return DeadLettersFound(event_id=event_id, queue="deliveries", messages=1, since=now, found_at=now)


def _sample_data(task_id: str, failed: bool, bucket: str, now_ms: int) -> dict[str, Any]:
    return _data(now_ms) | {
        "task_id": task_id,
        "provider": SAMPLE_PROVIDER,
        "status": "failed" if failed else "completed",
        "submitted_at": iso(from_ms(now_ms - 95_000)),
        "finished_at": iso(from_ms(now_ms - 12_000)),
        "metadata": _METADATA,
        "clips": [] if failed else [_sample_clip(number, task_id, now_ms) for number in range(len(_CLIPS))],
        "failure": {"code": "provider_failed", "reason": _REASON} if failed else None,
        "archive": "empty" if failed else "complete",
        "manifest": {"bucket": bucket, "key": manifest_key(SAMPLE_PROVIDER, task_id)},
        "sample": True,
    }


def _progress(task_id: str, now_ms: int) -> dict[str, Any]:
    title, duration_s, lyrics = _CLIPS[0]
    return {
        "task_id": task_id,
        "provider": SAMPLE_PROVIDER,
        "status": "pending",
        "phase": "processing",
        "progress": 60,
        "submitted_at": iso(from_ms(now_ms - 45_000)),
        "metadata": _METADATA,
        "clips": [
            {
                "clip_id": "clip-1",
                "title": title,
                "tags": ["pop", "piano"],
                "duration_s": duration_s,
                "prompt": lyrics,
                "model": "v4.5",
                "created_at": iso(from_ms(now_ms - 40_000)),
                "stream_url": "https://cdn.example.com/clip-1/stream",
                "source_url": None,
            }
        ],
        "truncated": False,
        "sample": True,
    }


def _sample_clip(number: int, task_id: str, now_ms: int) -> dict[str, Any]:
    title, duration_s, lyrics = _CLIPS[number]
    clip_id = f"clip-{number + 1}"
    return {
        "clip_id": clip_id,
        "title": title,
        "tags": ["pop", "piano"],
        "duration_s": duration_s,
        "prompt": lyrics,
        "model": "v4.5",
        "created_at": iso(from_ms(now_ms - 90_000)),
        "text": lyrics,
        "assets": [
            {
                "type": kind,
                "status": "archived",
                "key": asset_key(SAMPLE_PROVIDER, task_id, clip_id, kind, ending),
                "content_type": content_type,
                "bytes": len(lyrics) if kind == "lyrics" else 3_000_000,
                "sha256": sha256(f"{clip_id}/{kind}".encode()).hexdigest(),
            }
            for kind, ending, content_type in _FILES
        ],
    }


def _task_object(task_id: str, event: WebhookType, now_ms: int) -> dict[str, Any]:
    """Write a task as suno gateways do (docs/provider-contracts.md, "At a glance")."""
    host = "https://cdn.example.com"
    task = {"task_id": task_id, "action": "MUSIC", "submit_time": now_ms // 1000 - 95, "sample": True}
    if event is WebhookType.TASK_PROGRESS:
        return task | {"status": "IN_PROGRESS", "fail_reason": "", "progress": "60%", "data": []}
    failed = event is WebhookType.TASK_FAILED
    clips = [
        {
            "id": f"clip-{number}",
            "title": title,
            "tags": "pop, piano",
            "prompt": lyrics,
            "duration": duration_s,
            "audio_url": f"{host}/clip-{number}.mp3",
            "image_url": f"{host}/clip-{number}.jpeg",
            "video_url": f"{host}/clip-{number}.mp4",
        }
        for number, (title, duration_s, lyrics) in enumerate(_CLIPS, start=1)
    ]
    return task | {
        "start_time": now_ms // 1000 - 94,
        "finish_time": now_ms // 1000 - 12,
        "status": "FAILURE" if failed else "SUCCESS",
        "fail_reason": _REASON if failed else "",
        "progress": "100%",
        "data": [] if failed else clips,
    }

"""The bodies and parameters of requests: strict, so that nothing is guessed, and without fields that nobody knows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from tunehook.errors import InvalidInput
from tunehook.operations import recovery
from tunehook.rate_limits import MAX_PER_SECOND, MIN_PER_SECOND
from tunehook.schedules import (
    MAX_SCHEDULE_S,
    MAX_TIMEOUT_S,
    MAX_WAIT_S,
    MAX_WAITS,
    MIN_TIMEOUT_S,
    MIN_WAIT_S,
)
from tunehook.signatures import SignatureScheme
from tunehook.subscriptions import OF_ENDED_TASKS, SUBSCRIBABLE
from tunehook.tasks import TASK_ID_MAX_LENGTH, TIMEOUT_DEFAULT_S, TIMEOUT_MAX_S, TIMEOUT_MIN_S, Format
from tunehook.times import to_ms

PAGE_MAX: Final = 100
PAGE_DEFAULT: Final = 50
GRACE_DEFAULT_S: Final = 24 * 3600
GRACE_MAX_S: Final = 7 * 24 * 3600
RECOVERED_DAYS_MAX: Final = 14
RECOVERED_MAX: Final = recovery.LIMIT_MAX
WAIT_MAX_S: Final = 25
"""An HTTP API gives a function 30 s."""

_MOMENT: Final = {"format": "date-time"}
_FORMATS: Final = {"enum": [*(each.value for each in Format), None]}
_SIGNATURES: Final = {"enum": [*(each.value for each in SignatureScheme), None]}
_EVENTS: Final = {"items": {"type": "string", "enum": [each.value for each in SUBSCRIBABLE]}}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    def given(self) -> dict[str, Any]:
        """Return the attributes that the body names, null ones too."""
        return self.model_dump(exclude_unset=True)


class NewTask(_Body):
    """A task to be watched. A null attribute counts as not given."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "provider": "suno",
                    "task_id": "6b1f0c9a-9e0f-4b53-8d25-6c9b4f7f5d11",
                    "notify_hook": "https://example.com/hooks/music",
                    "metadata": {"order": 1017},
                }
            ]
        }
    )

    provider: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._-]{1,64}$",
            description="The provider's name in this deployment.",
            examples=["suno"],
        ),
    ]
    task_id: Annotated[
        str, Field(min_length=1, max_length=TASK_ID_MAX_LENGTH, description="The task's id at the provider.")
    ]
    notify_hook: Annotated[str | None, Field(description="A URL that gets a webhook when the task ends.")] = (
        None
    )
    notify_format: Annotated[
        str | None, Field(description="The format of that webhook's body.", json_schema_extra=_FORMATS)
    ] = None
    metadata: Annotated[
        dict[str, Any] | None,
        Field(description="Comes back in events and webhooks; at most 2 kB of JSON."),
    ] = None
    timeout_s: Annotated[
        int | None,
        Field(
            ge=TIMEOUT_MIN_S,
            le=TIMEOUT_MAX_S,
            description=f"Seconds until a task that is still pending fails; {TIMEOUT_DEFAULT_S} by default.",
        ),
    ] = None


class NewSubmission(_Body):
    """A task to be submitted to its provider, and watched. A null attribute counts as not given."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "provider": "suno",
                    "action": "music",
                    "body": {"gpt_description_prompt": "rain on a tin roof", "mv": "chirp-v4"},
                    "metadata": {"order": 1017},
                }
            ]
        }
    )

    provider: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._-]{1,64}$",
            description="The provider's name in this deployment.",
            examples=["suno"],
        ),
    ]
    action: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            description="What is asked for: `music` or `lyrics`, whatever the provider's kind knows "
            "(docs/providers.md).",
        ),
    ] = "music"
    body: Annotated[dict[str, Any], Field(description="The provider's own body, as its documents have it.")]
    notify_hook: Annotated[str | None, Field(description="A URL that gets a webhook when the task ends.")] = (
        None
    )
    notify_format: Annotated[
        str | None, Field(description="The format of that webhook's body.", json_schema_extra=_FORMATS)
    ] = None
    metadata: Annotated[
        dict[str, Any] | None,
        Field(description="Comes back in events and webhooks; at most 2 kB of JSON."),
    ] = None
    timeout_s: Annotated[
        int | None,
        Field(
            ge=TIMEOUT_MIN_S,
            le=TIMEOUT_MAX_S,
            description=f"Seconds until a task that is still pending fails; {TIMEOUT_DEFAULT_S} by default.",
        ),
    ] = None


_Wait = Annotated[int, Field(ge=MIN_WAIT_S, le=MAX_WAIT_S)]


class _OfSubscription(_Body):
    events: Annotated[
        list[str] | None,
        Field(description="Null or empty: `task.completed` and `task.failed`.", json_schema_extra=_EVENTS),
    ] = None
    providers: Annotated[list[str] | None, Field(description="Null or empty: those of all providers.")] = None
    format: Annotated[
        str | None, Field(description="The format of the webhooks' body.", json_schema_extra=_FORMATS)
    ] = None
    headers: Annotated[
        dict[str, str] | None,
        Field(description="Headers for each request; their values are never shown again."),
    ] = None
    description: Annotated[str | None, Field(max_length=1000, description="A note for people.")] = None
    signature: Annotated[
        str | None,
        Field(
            description="By what the webhooks are signed: HMAC-SHA256 (`v1`), Ed25519 (`v1a`) or both. Null: `v1`.",
            json_schema_extra=_SIGNATURES,
        ),
    ] = None
    retry_schedule: Annotated[
        list[_Wait] | None,
        Field(
            min_length=1,
            max_length=MAX_WAITS,
            description=f"The waits between attempts, in seconds, {MAX_SCHEDULE_S} in all at most. Null: the nine of "
            "docs/webhook-contract.md.",
            examples=[[5, 300, 3600]],
        ),
    ] = None
    max_per_second: Annotated[
        float | None,
        Field(
            ge=MIN_PER_SECOND,
            le=MAX_PER_SECOND,
            description="How many attempts may begin in a second at most; what has to wait uses up no attempt. "
            "Null: as many as there are.",
            examples=[10],
        ),
    ] = None
    filter: Annotated[
        dict[str, Any] | None,
        Field(
            description="What the `data` of the body must match, in EventBridge's pattern language "
            '(docs/webhook-contract.md, "Filters by content"). Null: all of it will do.',
            examples=[{"metadata": {"order": [{"numeric": [">=", 1000]}]}}],
        ),
    ] = None
    timeout_s: Annotated[
        int | None,
        Field(
            ge=MIN_TIMEOUT_S,
            le=MAX_TIMEOUT_S,
            description=f"How many seconds an attempt may take. Null: {MAX_TIMEOUT_S}.",
        ),
    ] = None


class NewSubscription(_OfSubscription):
    """A receiver of webhooks."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"url": "https://example.com/hooks/music", "events": ["task.completed", "task.failed"]}
            ]
        }
    )

    url: Annotated[str, Field(description="Where the webhooks go.")]


class SubscriptionChange(_OfSubscription):
    """What is to change of a subscription: what is not named stays, and null is the default."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"events": ["task.completed"]}]})

    url: Annotated[str, Field(description="Where the webhooks go.")] = ""


class SecretRotation(_Body):
    """How a secret is rotated."""

    grace_s: Annotated[
        int, Field(ge=0, le=GRACE_MAX_S, description="For how many seconds the secret before signs too.")
    ] = GRACE_DEFAULT_S


class RecoveryRequest(_Body):
    """What is recovered."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"since": "2026-11-29T08:00:00Z"}]})

    since: Annotated[
        str,
        Field(
            description=f"What failed or was never made since this moment, at most {RECOVERED_DAYS_MAX} days ago.",
            json_schema_extra=_MOMENT,
        ),
    ]
    until: Annotated[
        str | None,
        Field(description="And before this one. Null: until now.", json_schema_extra=_MOMENT),
    ] = None
    events: Annotated[
        list[str] | None,
        Field(
            description="Only these, of those that the subscription asks for. Null or empty: all.",
            json_schema_extra=_EVENTS,
        ),
    ] = None
    providers: Annotated[
        list[str] | None, Field(description="Only those about tasks of these. Null or empty: all.")
    ] = None
    filter: Annotated[
        dict[str, Any] | None,
        Field(
            description="Only those whose data match, beside the subscription's own filter, in the same language.",
            examples=[{"metadata": {"order": [1017]}}],
        ),
    ] = None
    only_missing: Annotated[
        bool, Field(description="Make what was never made, and send nothing once more that failed.")
    ] = False
    dry_run: Annotated[bool, Field(description="Say what would be done, and do nothing.")] = False
    limit: Annotated[
        int,
        Field(ge=1, le=RECOVERED_MAX, description="About how many deliveries one answer is about at most."),
    ] = RECOVERED_MAX
    cursor: Annotated[
        str | None,
        Field(description="`next_cursor` of the answer before; all else must be the same, `until` too."),
    ] = None


Provider = Annotated[str, Path(description="The provider's name in this deployment.", examples=["suno"])]
TaskId = Annotated[
    str, Path(description="The task's id at the provider; one with a slash goes as the parameter `task_id`.")
]
QueryTaskId = Annotated[
    str,
    Query(
        min_length=1,
        max_length=TASK_ID_MAX_LENGTH,
        description="The task's id at the provider, with a slash or not.",
    ),
]
SubscriptionId = Annotated[str, Path(description="The subscription's id.", examples=["sub_9f86d081884c7d65"])]
TestedTaskId = Annotated[
    str,
    Query(min_length=1, max_length=TASK_ID_MAX_LENGTH, description="A task that has ended."),
]
TestedProvider = Annotated[
    str | None,
    Query(description="The task's provider, where several have a task of this id.", examples=["suno"]),
]
TestedEvent = Annotated[
    str | None,
    Query(
        description="What the webhook would be about. By default the task's end.",
        json_schema_extra={"enum": [each.value for each in OF_ENDED_TASKS]},
    ),
]
DeliveryId = Annotated[str, Path(description="The delivery's id, which is its `webhook-id`.")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="How many a page has at most.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
Since = Annotated[
    str | None,
    Query(
        description="Only those since this moment: ISO-8601 with a zone, such as `2026-11-29T08:00:00Z`.",
        json_schema_extra=_MOMENT,
    ),
]
Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        description=f"`wait=25`: answer as soon as the task has ended and its files are settled, after {WAIT_MAX_S} s "
        "at the latest. `Preference-Applied` says that the answer has waited.",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A name for this request, unique to your key: sent again within 24 h, it gets the first answer.",
    ),
]


def moment_ms(text: str, field: str) -> int:
    """Return a moment of ISO-8601 with a zone in milliseconds since 1970, 0 for one before.

    Raises `InvalidInput` with the field if it is none.

    >>> moment_ms("1970-01-01T00:00:01Z", "since")
    1000
    """
    try:
        moment = datetime.fromisoformat(text.upper())
        if moment.tzinfo is None or len(text) < len("2026-11-29T08:00Z"):
            raise ValueError
        return max(to_ms(moment), 0)
    except (ValueError, OverflowError):
        hint = "a moment with a zone, such as 2026-11-29T08:00:00Z (in a URL, write + as %2B)"
        raise InvalidInput(field, f"must be {hint}") from None

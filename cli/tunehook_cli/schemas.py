"""Write the JSON Schemas of events and webhooks: ``python -m tunehook_cli.schemas``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args

from pydantic import BaseModel, ConfigDict, Field, create_model

from tunehook.events import (
    EVENT_MODELS,
    AssetType,
    FailureDetail,
    ManifestLocation,
    Moment,
    OperationalEvent,
)
from tunehook.subscriptions import WebhookType

FOLDER: Final = Path(__file__).parents[2] / "events" / "schemas"
"""Where the schemas are kept, in a checkout of the repository."""

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class WebhookAsset(_Part):
    """A file of a clip."""

    type: AssetType
    status: Literal["archived", "pending", "unavailable"]
    key: str | None = Field(None, description="Of an archived one: the S3 object's key, which stays.")
    content_type: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    remark: str | None = None
    reason: str | None = Field(None, description="Why it is not to be had, or has not come yet.")
    source_url: str | None = Field(None, description="Of a pending one: the provider's own link.")
    url: str | None = Field(
        description="A download link, null where the file is not kept, or there was no room. Download at once."
    )
    url_expires_at: Moment | None = Field(
        description="When the link dies at the latest: it may die earlier, with the session that signed it."
    )


class _Clip(_Part):
    clip_id: str
    title: str | None
    tags: tuple[str, ...]
    duration_s: float | None
    prompt: str | None = None
    text: str | None = None
    model: str | None
    created_at: Moment | None


class WebhookClip(_Clip):
    """A clip of a task; prompts and texts are left out of bodies that would be too long."""

    assets: tuple[WebhookAsset, ...]


class WebhookData(_Part):
    """What a webhook tells of a task."""

    task_id: str
    provider: str
    status: Literal["completed", "failed", "rejected"]
    submitted_at: Moment
    finished_at: Moment | None
    detected_at: Moment
    metadata: dict[str, Any]
    clips: tuple[WebhookClip, ...]
    failure: FailureDetail | None
    archive: Literal["complete", "partial", "empty", "pending"] = Field(
        description="How much is kept of what the provider named; after `pending`, task.archived follows."
    )
    manifest: ManifestLocation | None = Field(
        description="The S3 object that holds everything, once all files are settled; null in a test."
    )
    truncated: bool
    sample: bool = Field(
        False,
        description="True in a made-up event (`tunehook trigger`): there is no such task, and no such file.",
    )


_SAMPLE: Final = Field(
    False, description="True in a made-up event (`tunehook trigger`): nothing of the kind has happened."
)


def _operational_data(event: type[BaseModel]) -> type[BaseModel]:
    """Return the model of what a webhook tells of an operational event: all but its id and version."""
    told: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in event.model_fields.items()
        if name not in ("version", "event_id")
    }
    name = f"{event.__name__}Data"
    return create_model(name, __base__=_Part, __doc__=event.__doc__, **told, sample=(bool, _SAMPLE))


_Data: Any = Union[WebhookData, *(_operational_data(each) for each in get_args(OperationalEvent))]


class ProgressClip(_Clip):
    """A clip of a task that has not ended; prompts and texts are left out of bodies that would be too long."""

    stream_url: str | None = Field(description="The provider's own link to a live stream.")
    source_url: str | None = Field(description="The provider's own link to the file, which dies within days.")


class ProgressData(_Part):
    """What a webhook tells of a task that has not ended."""

    task_id: str
    provider: str
    status: Literal["pending"]
    phase: Literal["queued", "processing"]
    progress: int | None = Field(ge=0, le=100, description="In per cent, if the provider says so.")
    submitted_at: Moment
    metadata: dict[str, Any]
    clips: tuple[ProgressClip, ...]
    truncated: bool
    sample: bool = Field(
        False, description="True in a made-up event (`tunehook trigger`): there is no such task."
    )


class ProgressWebhook(_Part):
    """A `task.progress` in the format `standard`; in the format `cloudevents`, `data` is the same."""

    type: Literal[WebhookType.TASK_PROGRESS]
    timestamp: Moment
    data: ProgressData


class Webhook(_Part):
    """A webhook in the format `standard`; in the format `cloudevents`, `data` is the same."""

    type: Literal[
        WebhookType.TASK_COMPLETED,
        WebhookType.TASK_FAILED,
        WebhookType.TASK_ARCHIVED,
        WebhookType.SUBSCRIPTION_FAILING,
        WebhookType.SUBSCRIPTION_DISABLED,
        WebhookType.PROVIDER_UNAUTHORISED,
        WebhookType.DEAD_LETTERS_FOUND,
        WebhookType.WEBHOOK_TEST,
    ]
    timestamp: Moment
    data: _Data


def schemas() -> Mapping[str, dict[str, Any]]:
    """Return the schema of each event's detail, by detail type, and those of webhooks' bodies by what they tell of."""
    bodies: tuple[type[BaseModel], ...] = (Webhook, ProgressWebhook)
    models: dict[str, type[BaseModel]] = {**EVENT_MODELS, **{each.__name__: each for each in bodies}}
    return {
        name: {"$schema": _DIALECT, **model.model_json_schema(mode="serialization")}
        for name, model in models.items()
    }


def main() -> None:
    """Write one file each, and remove those of what is no more."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for name, schema in schemas().items():
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()

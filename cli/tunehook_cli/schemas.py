"""Writes the JSON Schemas of what tunehook emits, events and webhooks: ``python -m tunehook_cli.schemas``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from tunehook.events import EVENT_MODELS
from tunehook_cli.webhook_body import Webhook

FOLDER: Final = Path(__file__).parents[2] / "events" / "schemas"
"""Where the schemas are kept, in a checkout of the repository."""

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> Mapping[str, dict[str, Any]]:
    """Return the schema of each event's detail, by detail type, and that of a webhook's body as ``Webhook``."""
    models: dict[str, type[BaseModel]] = {**EVENT_MODELS, Webhook.__name__: Webhook}
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

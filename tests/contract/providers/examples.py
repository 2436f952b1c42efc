"""The recorded answers, and outcomes in the form in which they are recorded (see recorded/README.md)."""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunehook.clips import Clip
from tunehook.providers.adapter import Adapter, Answer, ManyUnknown, Screening
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.outcomes import InlineFile, Outcome
from tunehook.times import iso

RECEIVED_AT = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)
RECORDED = Path(__file__).parent / "recorded"
SEQUENCES = RECORDED / "sequences"
_LEFT_OUT_BY_DEFAULT = frozenset(
    {
        "detail",
        "inline",
        "inline_files",
        "is_output",
        "is_streaming",
        "is_too_large",
        "problem",
        "reason",
        "unusable_links",
    }
)


@dataclass(frozen=True)
class Example:
    """One recorded answer."""

    name: str
    kind: str
    record: dict[str, Any]

    @property
    def adapter(self) -> Adapter:
        return ADAPTERS[self.kind]

    @property
    def is_many(self) -> bool:
        return "task_ids" in self.record

    @property
    def body(self) -> bytes:
        answer = self.record["answer"]
        if "body_base64" in answer:
            return base64.b64decode(answer["body_base64"])
        body = answer["body"]
        return (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)).encode()

    def answer(self, body: bytes | None = None) -> Answer:
        """The answer, with another body if one is given."""
        recorded = self.record["answer"]
        return Answer(
            recorded["status"],
            recorded["headers"],
            self.body if body is None else body,
            RECEIVED_AT,
            base_url=recorded.get("base_url", ""),
        )


def load() -> list[Example]:
    return [example_of(path) for path in sorted(RECORDED.glob("*/*.json"))]


def example_of(path: Path) -> Example:
    """The recorded answer in a file."""
    return Example(f"{path.parent.name}/{path.stem}", path.parent.name, json.loads(path.read_text()))


def as_recorded(outcome: Outcome | Screening | ManyUnknown) -> dict[str, Any]:
    """Write an outcome as the files do."""
    if isinstance(outcome, ManyUnknown):
        return {"name": "many_unknown", **({"may_be_limit": True} if outcome.may_be_limit else {})}
    if isinstance(outcome, Screening):
        found = {key: None if value is None else as_recorded(value) for key, value in outcome.found.items()}
        return {"found": found, "last": outcome.last}
    written = {"name": outcome.name, **_fields(outcome)}
    if (result := getattr(outcome, "result", None)) is not None:
        written["result"] = _fields(result)
        del written["result"]["provider_object"]
        written["result"].pop("truncated", None)
    return written


def _fields(value: Any) -> dict[str, Any]:
    pairs = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {
        field.name: _plain(item)
        for field, item in pairs
        if (field.name, item) != ("tags", ())
        and item is not None
        and (item != field.default or field.name not in _LEFT_OUT_BY_DEFAULT)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Clip | InlineFile):
        return _fields(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value

"""The recorded answers, and outcomes in the form in which they are recorded (see recorded/README.md)."""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunehook.clips import Clip
from tunehook.providers.adapter import Adapter, Answer, Follow, ManyUnknown, Request, Screening
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.outcomes import InlineFile, Outcome
from tunehook.providers.recipes import bundled
from tunehook.providers.recipes.described import DescribedAdapter
from tunehook.times import iso

RECEIVED_AT = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)
RECORDED = Path(__file__).parent / "recorded"
SEQUENCES = RECORDED / "sequences"
_OF_PROGRESS = frozenset({"read", "may_have_clips"})
"""How the clips of a pending task are read, if anybody asks: tests of each kind hold what they come to."""

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
    """One recorded answer, of a coded kind or of the API of a bundled recipe, whose name is then its `kind`."""

    name: str
    kind: str
    record: dict[str, Any]

    @property
    def adapter(self) -> Adapter:
        return ADAPTERS[self.kind] if self.kind in ADAPTERS else described(self.kind)

    @property
    def is_many(self) -> bool:
        return "task_ids" in self.record

    @property
    def body(self) -> bytes:
        return _body(self.record["answer"])

    def answer(self, body: bytes | None = None) -> Answer:
        """The answer, with another body if one is given."""
        return _answer(self.record["answer"], body)

    def read(self, adapter: Adapter | None = None) -> Outcome | Follow:
        """What the answer means; where it leads to a second question, what the answer to that one means."""
        outcome = (adapter or self.adapter).read(self.answer())
        if isinstance(outcome, Follow) and "second" in self.record:
            return outcome.read(_answer(self.record["second"]))
        return outcome


@functools.cache
def described(recipe: str) -> DescribedAdapter:
    """The adapter of a bundled recipe."""
    return DescribedAdapter(bundled.read_bundled(recipe))


def _body(recorded: dict[str, Any]) -> bytes:
    if "body_base64" in recorded:
        return base64.b64decode(recorded["body_base64"])
    body = recorded["body"]
    return (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)).encode()


def _answer(recorded: dict[str, Any], body: bytes | None = None) -> Answer:
    return Answer(
        recorded["status"],
        recorded["headers"],
        _body(recorded) if body is None else body,
        RECEIVED_AT,
        base_url=recorded.get("base_url", ""),
    )


def load() -> list[Example]:
    """The recorded answers of the coded kinds."""
    return [example for example in _all() if example.kind in ADAPTERS]


def load_bundled() -> list[Example]:
    """The recorded answers of the APIs that bundled recipes describe."""
    return [example for example in _all() if example.kind not in ADAPTERS]


def _all() -> list[Example]:
    return [example_of(path) for path in sorted(RECORDED.glob("*/*.json"))]


def example_of(path: Path) -> Example:
    """The recorded answer in a file."""
    return Example(f"{path.parent.name}/{path.stem}", path.parent.name, json.loads(path.read_text()))


def as_recorded(outcome: Outcome | Screening | ManyUnknown | Follow) -> dict[str, Any]:
    """Write an outcome as the files do."""
    if isinstance(outcome, Follow):
        return {"name": "follow"}
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


def asked(request: Request) -> dict[str, Any]:
    """Write a request as the files do."""
    question = {"method": request.method, "path": request.path, "body": request.body}
    written = {name: value for name, value in question.items() if value is not None}
    return written | ({"headers": dict(request.headers)} if request.headers else {})


def _fields(value: Any) -> dict[str, Any]:
    pairs = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {
        field.name: _plain(item)
        for field, item in pairs
        if (field.name, item) != ("tags", ())
        and field.name not in _OF_PROGRESS
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

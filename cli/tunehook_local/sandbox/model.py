"""What a provider's answer is made of. Standard library only: the sandbox in a Lambda function uses it, too."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

MAX_CLIPS = 8


class Kind(StrEnum):
    """The families of providers that the sandbox stands in for."""

    MUSICMINT = "musicmint"
    QHAIGC = "qhaigc"
    SUNO = "suno"


class Phase(StrEnum):
    """Where a task stands, in the sandbox's own words; each provider has its own for them."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    NOT_FOUND = "not_found"
    UNAUTHORISED = "unauthorised"

    @property
    def final(self) -> bool:
        """Whether a provider never takes this phase back."""
        return self in (Phase.COMPLETED, Phase.FAILED)


@dataclass(frozen=True)
class Song:
    """What a finished task says of its music."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    title: str = "Sandbox Song"
    tags: str = "synth, calm, instrumental"
    prompt: str = "[Verse]\nNothing in this box was sung,\nyet every note of it has rung"
    model: str = "chirp-v4"

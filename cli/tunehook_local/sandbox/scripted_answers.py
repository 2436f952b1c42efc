"""One answer of a scenario: how long it holds, what it says, and what fault its connection has."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from tunehook_local.sandbox.model import MAX_CLIPS, Phase


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("the range ends before it begins")
    return value


def _read_beside_scenario(name: object, info: ValidationInfo) -> bytes:
    folder = (info.context or {}).get("folder")
    if folder is None:
        raise ValueError("files can be named in a scenario file only")
    try:
        return Path(folder, str(name)).read_bytes()
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None


def _fields_of_recording(text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)["answer"]
        names = ("status", "headers", "body", "body_base64")
        fields = {name: answer[name] for name in names if name in answer}
    except (ValueError, TypeError, KeyError):
        raise ValueError("is no recorded answer: JSON with an object `answer`") from None
    if not isinstance(fields.get("body", ""), str):
        fields["body"] = json.dumps(fields["body"], ensure_ascii=False)
    return fields


Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SecondsRange = Annotated[
    tuple[Seconds, Seconds],
    BeforeValidator(lambda value: (value, value) if isinstance(value, int | float) else value),
    AfterValidator(_ordered),
]
Base64Text = Annotated[bytes, BeforeValidator(lambda value: base64.b64decode(str(value), validate=True))]
FileContents = Annotated[bytes, BeforeValidator(_read_beside_scenario)]


class Strict(BaseModel):
    """A part of a scenario: unknown fields are refused, and nothing changes it later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScriptedAnswer(Strict):
    """One answer of a sequence: how long it holds, what it says, and what fault its connection has.

    - `until_s`: it holds until so many seconds have gone by. A pair is a range: each subject has its own moment in it,
      always the same one (a digest of its name decides).
    - `times`: it is given at most so many times.
    - `status`: the HTTP status, with `headers` beside the usual ones, and one body: `body` as text, `body_base64`, or
      `body_file`, a path relative to the scenario file. A body without a ``content-type`` goes out as JSON.
    - ``recorded``, in place of these: the path, relative to the scenario file, of an answer that was recorded as in
      ``tests/contract/providers/recorded``.
    - `delay_s`: the wait before the first byte. `hang`: the request is accepted and never answered.
    - `reset`: the connection is reset (TCP RST) at once, or after `cut_after_bytes` bytes of the body.
    - `cut_after_bytes`: the whole body is announced, and the connection closed after so many bytes of it.
    - `length_off_by`: so many bytes more than the body has, or fewer, are announced, and the connection is closed after
      the body. `chunked`: no length is announced, and the body comes in chunks.
    - `drip_bytes`: the body comes in pieces of so many bytes, one every `drip_every_s` seconds.
    """

    until_s: SecondsRange | None = None
    times: Annotated[int, Field(ge=1)] | None = None

    status: Annotated[int, Field(ge=200, le=599)] | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    body: str | None = None
    body_base64: Base64Text | None = None
    body_file: FileContents | None = None

    delay_s: Seconds = 0
    hang: bool = False
    reset: bool = False
    cut_after_bytes: Annotated[int, Field(ge=0)] | None = None
    length_off_by: int = 0
    chunked: bool = False
    drip_bytes: Annotated[int, Field(ge=1)] | None = None
    drip_every_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1

    @property
    def content(self) -> bytes:
        """The bytes of the body that the scenario gives; none is an empty body."""
        if self.body is not None:
            return self.body.encode()
        return self.body_base64 or self.body_file or b""

    @property
    def is_bounded(self) -> bool:
        """Whether this answer gives way to the next at some point."""
        return self.until_s is not None or self.times is not None

    @property
    def is_sent_whole(self) -> bool:
        """Whether the body is sent at once, complete, and with its length before it."""
        is_cut = self.cut_after_bytes is not None or self.drip_bytes is not None
        return not (is_cut or self.chunked or self.length_off_by)

    @model_validator(mode="before")
    @classmethod
    def _recorded_answer_is_read(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, dict) or "recorded" not in value:
            return value
        record = _fields_of_recording(_read_beside_scenario(value["recorded"], info))
        if both := sorted(record.keys() & value.keys()):
            raise ValueError(f"give either recorded or {', '.join(both)}")
        return record | {name: given for name, given in value.items() if name != "recorded"}

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        bodies = [body for body in (self.body, self.body_base64, self.body_file) if body is not None]
        if len(bodies) > 1:
            raise ValueError("give one of body, body_base64 and body_file")
        if bodies and self.status is None:
            raise ValueError("a body needs a status")
        if self.chunked and self.length_off_by:
            raise ValueError("give one of chunked and length_off_by")
        return self


class TaskAnswer(ScriptedAnswer):
    """One answer to a query of one task: a `phase` in the provider's own envelope, or a `status` with a body.

    `word` is the phase's status word where it is not the provider's usual one, `reason` why the task failed, `clips`
    how many the answer carries: by default two on success (musicmint: one), none otherwise. Clips that come before the
    end are live streams. musicmint sends clips on success only.
    """

    phase: Phase | None = None
    word: str | None = None
    reason: str = "Generation failed: all platforms unavailable"
    clips: Annotated[int, Field(ge=0, le=MAX_CLIPS)] | None = None

    @property
    def final(self) -> bool:
        return self.phase is not None and self.phase.final

    @property
    def is_plain_phase(self) -> bool:
        """Whether the answer is a phase and nothing more, as an entry of a longer list must be."""
        is_faulty = self.headers or self.hang or self.reset or self.delay_s or not self.is_sent_whole
        return self.phase not in (None, Phase.UNAUTHORISED) and not is_faulty

    @model_validator(mode="after")
    def _phase_or_status(self) -> Self:
        if (self.phase is None) == (self.status is None):
            raise ValueError("give either a phase or a status")
        return self

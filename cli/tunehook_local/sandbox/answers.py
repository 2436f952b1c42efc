"""One answer of the sandbox: how long it holds, what it says, and what happens to it on the wire."""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tunehook_local.sandbox.model import MAX_CLIPS, Phase

if TYPE_CHECKING:
    from collections.abc import Sequence


def _as_range(value: object) -> object:
    return (value, value) if isinstance(value, int | float) else value


def _decode_base64(value: object) -> bytes:
    return base64.b64decode(str(value), validate=True)


def _read_beside_scenario(name: object, info: ValidationInfo) -> bytes:
    folder = (info.context or {}).get("folder")
    if folder is None:
        raise ValueError("files can be named in a scenario file only")
    try:
        return Path(folder, str(name)).read_bytes()
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None


def _answer_of_record(text: bytes) -> dict[str, Any]:
    """Return the fields of an `Answer` that a recorded answer gives: its status, its headers, its body."""
    fields: dict[str, Any] = {}
    try:
        answer = json.loads(text)["answer"]
        for name in ("status", "headers", "body", "body_base64"):
            if name in answer:
                fields[name] = answer[name]
    except (ValueError, TypeError, KeyError):
        raise ValueError("is no recorded answer: JSON with an object `answer`") from None
    if not isinstance(fields.get("body", ""), str):
        fields["body"] = json.dumps(fields["body"], ensure_ascii=False)
    return fields


Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SecondsRange = Annotated[tuple[Seconds, Seconds], BeforeValidator(_as_range)]
Base64Text = Annotated[bytes, BeforeValidator(_decode_base64)]
FileContents = Annotated[bytes, BeforeValidator(_read_beside_scenario)]


class Strict(BaseModel):
    """A part of a scenario: unknown fields are refused, and nothing changes it later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(Strict):
    """One answer of a sequence: how long it holds, what it says, and what happens to it on the wire.

    Parameters
    ----------
    until_s : float or pair of float, optional
        The answer holds until so many seconds have gone by. A pair is a range: each subject has its own
        moment in it, always the same one (a digest of its name decides).
    times : int, optional
        The answer is given at most so many times.
    status : int, optional
        Answer with this HTTP status, these `headers` and this body instead of what would be sent otherwise.
    headers : dict of str to str
        Set on the answer, in addition to the usual ones. A body without a ``content-type`` goes out as JSON.
    body, body_base64, body_file : str, optional
        The body as text, as base64 of its bytes, or as a file's path relative to the scenario file.
    recorded : str, optional
        In place of status, headers and body: the path, relative to the scenario file, of an answer that was
        recorded as in ``tests/contract/providers/recorded``.
    delay_s : float
        Wait so long before the first byte.
    hang : bool
        Accept the request and never answer it.
    reset : bool
        Reset the connection (TCP RST): at once, or after `cut_after_bytes` bytes of the body.
    cut_after_bytes : int, optional
        Announce the whole body and close the connection after so many bytes of it.
    length_off_by : int
        Announce so many bytes more than the body has, or fewer, and close the connection after the body.
    chunked : bool
        Announce no length; the body comes in chunks.
    drip_bytes : int, optional
        Send the body in pieces of so many bytes, one every `drip_every_s` seconds.
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
    def bounded(self) -> bool:
        """Whether this answer gives way to the next at some point."""
        return self.until_s is not None or self.times is not None

    @property
    def is_framed_oddly(self) -> bool:
        """Whether the body goes out otherwise than whole, at once, and with its length before it."""
        return (
            self.cut_after_bytes is not None
            or self.drip_bytes is not None
            or self.chunked
            or self.length_off_by != 0
        )

    @model_validator(mode="before")
    @classmethod
    def _recorded_answer_is_read(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, dict) or "recorded" not in value:
            return value
        record = _answer_of_record(_read_beside_scenario(value["recorded"], info))
        if both := sorted(record.keys() & value.keys()):
            raise ValueError(f"give either recorded or {', '.join(both)}")
        return record | {name: given for name, given in value.items() if name != "recorded"}

    @model_validator(mode="after")
    def _one_body_with_a_status(self) -> Self:
        bodies = [body for body in (self.body, self.body_base64, self.body_file) if body is not None]
        if len(bodies) > 1:
            raise ValueError("give one of body, body_base64 and body_file")
        if bodies and self.status is None:
            raise ValueError("a body needs a status")
        return self

    @model_validator(mode="after")
    def _one_word_on_the_length(self) -> Self:
        if self.chunked and self.length_off_by:
            raise ValueError("give one of chunked and length_off_by")
        return self

    @field_validator("until_s")
    @classmethod
    def _range_is_ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError("the range ends before it begins")
        return value


class TaskAnswer(Answer):
    """One answer to a query of one task: a `phase` in the provider's own envelope, or a `status` with a body.

    Parameters
    ----------
    phase : Phase, optional
        Where the task stands.
    word : str, optional
        The status word to use for the phase, when it shall not be the provider's usual one.
    reason : str
        Why the task failed.
    clips : int, optional
        How many clips the answer carries. By default two on success (musicmint: one), none otherwise. Clips
        that come before the end are live streams. musicmint sends clips on success only.
    """

    phase: Phase | None = None
    word: str | None = None
    reason: str = "Generation failed: all platforms unavailable"
    clips: Annotated[int, Field(ge=0, le=MAX_CLIPS)] | None = None

    @property
    def final(self) -> bool:
        """Whether this answer says that the task has ended."""
        return self.phase is not None and self.phase.final

    @property
    def disturbed(self) -> bool:
        """Whether the answer is more than a phase: such an answer cannot be one entry of a longer list."""
        return (
            self.phase in (None, Phase.UNAUTHORISED)
            or bool(self.headers)
            or self.hang
            or self.reset
            or self.delay_s > 0
            or self.is_framed_oddly
        )

    @model_validator(mode="after")
    def _phase_or_status(self) -> Self:
        if (self.phase is None) == (self.status is None):
            raise ValueError("give either a phase or a status")
        return self


def check_order(answers: Sequence[Answer], *, last_holds: bool) -> None:
    """Hold a sequence of answers to its rules: each gives way to the next, and their moments grow.

    Raises
    ------
    ValueError
        If one of them can never be given, or if the last one is bounded although it must hold for ever.
    """
    if last_holds and answers[-1].bounded:
        raise ValueError("the last answer holds for ever: it takes neither until_s nor times")
    if not all(answer.bounded for answer in answers[:-1]):
        raise ValueError("each answer but the last needs until_s or times")
    bounds = [answer.until_s for answer in answers if answer.until_s is not None]
    for earlier, later in itertools.pairwise(bounds):
        if not (earlier[0] < later[0] and earlier[1] < later[1]):
            raise ValueError("until_s must grow from answer to answer")

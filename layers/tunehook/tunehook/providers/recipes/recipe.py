"""What a recipe holds (docs/providers.md, "Recipes: the format"): the checked form of its TOML or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from tunehook.providers import coerce
from tunehook.providers.config import usable_base_url
from tunehook.providers.recipes.expressions import Expression
from tunehook.providers.statuses import normal

MAX_FALL_BACKS: Final = 20
MAX_IDS_PER_CALL: Final = 500

TASK_ID: Final = "{task_id}"
TASK_IDS: Final = "{task_ids}"
PLACEHOLDER: Final = re.compile(r"\{[A-Za-z_]{1,64}\}")
"""What stands for a value in a path or in a text of a body."""

OutputName: TypeAlias = Literal["image", "audio", "video", "file"]
TimeUnit: TypeAlias = Literal["s", "ms", "us", "iso"]

_MAX_PATH: Final = 2_000
_MAX_BODY: Final = 16_000
_MAX_HEADERS: Final = 20
_MAX_MEMBERS: Final = 100
_MAX_VALUES: Final = 10
_MAX_WORD: Final = 64
_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}")
_PATH: Final = re.compile(r"/[\x21\x22\x24-\x7e]*")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?")
_NAME: Final = r"^[A-Za-z0-9._-]{1,64}$"
_DOTTED: Final = r"^[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,7}$"
_NOT_OURS_TO_SET: Final = frozenset(
    coerce.names(
        "host content-length transfer-encoding connection upgrade te expect accept-encoding content-type"
        " cookie authorization proxy-authorization"
    )
)


def _expressions(value: Any) -> tuple[Expression, ...]:
    texts = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("is neither an expression nor a list of them")
    if not 1 <= len(texts) <= MAX_FALL_BACKS:
        raise ValueError(f"must be 1 to {MAX_FALL_BACKS} expressions")
    compiled = []
    for position, text in enumerate(texts, start=1):
        try:
            compiled.append(Expression(text))
        except ValueError as error:
            which = f"expression {position} " if len(texts) > 1 else ""
            raise ValueError(f"{which}{error}") from None
    return tuple(compiled)


@dataclass(frozen=True, slots=True)
class ClipExpression:
    """An expression of a clip's field as it is `written`; with ``$`` it is about what the clips are in."""

    written: str
    expression: Expression
    is_outer: bool


def _of_a_clip(value: Any) -> tuple[ClipExpression, ...]:
    texts = value if isinstance(value, list | tuple) else [value]
    inner = [_without_outer(text) if isinstance(text, str) else text for text in texts]
    compiled = zip(texts, inner, _expressions(inner), strict=True)
    return tuple(ClipExpression(text, expression, text != each) for text, each, expression in compiled)


def _without_outer(text: str) -> str:
    text = text.strip()
    return "@" if text == "$" else text.removeprefix("$.")


def _written(expressions: Sequence[Expression | ClipExpression]) -> str | list[str]:
    texts = [each.text if isinstance(each, Expression) else each.written for each in expressions]
    return texts[0] if len(texts) == 1 else texts


Expressions: TypeAlias = Annotated[
    tuple[Expression, ...], BeforeValidator(_expressions), PlainSerializer(_written)
]
ClipExpressions: TypeAlias = Annotated[
    tuple[ClipExpression, ...], BeforeValidator(_of_a_clip), PlainSerializer(_written)
]


def _usable_path(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise ValueError("must begin with '/' and hold visible ASCII characters without '#'")
    if len(path) > _MAX_PATH:
        raise ValueError(f"has more than {_MAX_PATH} characters")
    if re.search(r"[{}]", _PLACEHOLDER.sub("", path)):
        raise ValueError("has a brace that stands for nothing")
    return path


def _usable_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    if len(headers) > _MAX_HEADERS:
        raise ValueError(f"has more than {_MAX_HEADERS} headers")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError("has a name that no header can have")
        if name.lower() in _NOT_OURS_TO_SET:
            raise ValueError(f"must not set {name.lower()}")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError("has a value that no header can carry")
    return {name.lower(): value for name, value in headers.items()}


def _usable_body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        size = len(json.dumps(body, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError):
        raise ValueError("has no form in JSON (a date, or a number that is none)") from None
    if size > _MAX_BODY:
        raise ValueError(f"takes {size} bytes, more than {_MAX_BODY}")
    return body


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _scalars(values: Any) -> tuple[str, ...]:
    """Return texts, numbers and booleans of a list as texts."""
    if not isinstance(values, list | tuple):
        raise ValueError("must be a list")
    if len(values) > _MAX_MEMBERS:
        raise ValueError(f"has more than {_MAX_MEMBERS} members")
    if not all(isinstance(each, str | int) for each in values):
        raise ValueError("must hold texts, whole numbers or booleans")
    texts = tuple(scalar_text(each) for each in values)
    if not all(1 <= len(normal(text)) <= _MAX_WORD for text in texts):
        raise ValueError(f"must hold 1 to {_MAX_WORD} characters each")
    return texts


def scalar_text(value: Any) -> str:
    """Return a scalar as it is compared: booleans and numbers as JSON writes them, 2.0 as 2."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def _problem(reason: str) -> PydanticCustomError:
    return PydanticCustomError("recipe", "{reason}", {"reason": reason})


def _check_distinct(members: Mapping[str, Iterable[Any]]) -> None:
    seen: dict[Any, str] = {}
    for name, each in members.items():
        for member in each:
            if seen.setdefault(member, name) != name:
                raise _problem(f"has {member!r} both in {seen[member]} and in {name}")


Path: TypeAlias = Annotated[str, AfterValidator(_usable_path)]
SubmitPath: TypeAlias = Annotated[str, AfterValidator(lambda path: path and _usable_path(path))]
Headers: TypeAlias = Annotated[Mapping[str, str], AfterValidator(_usable_headers)]
Body: TypeAlias = Annotated[dict[str, Any], AfterValidator(_usable_body)]
Words: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_scalars)]


class _Part(
    BaseModel,
    frozen=True,
    extra="forbid",
    strict=True,
    hide_input_in_errors=True,
    arbitrary_types_allowed=True,
    defer_build=True,
):
    """A part of a recipe."""


class Key(_Part):
    """Where a request has the API key."""

    where: Annotated[Literal["bearer", "header", "query"], Field(alias="in")] = "bearer"
    name: str | None = None
    prefix: Annotated[str, Field(pattern=r"^[\x20-\x7e]{0,64}$")] = ""

    @model_validator(mode="after")
    def _check_name(self) -> Key:
        if self.where == "bearer" and (self.name is not None or self.prefix):
            raise _problem('has a name or a prefix only with in = "header" or "query"')
        if self.where != "bearer" and self.name is None:
            raise _problem(f"needs the name of the {self.where}")
        if self.where == "query" and self.prefix:
            raise _problem("has no prefix in a query")
        if self.name is not None:
            if not _HEADER_NAME.fullmatch(self.name):
                raise _problem("has a name that no header and no query can have")
            if self.where == "header" and self.name.lower() in _NOT_OURS_TO_SET - {"authorization"}:
                raise _problem(f"must not be in {self.name.lower()}")
        return self


class _Question(_Part):
    method: Literal["GET", "POST"] = "GET"
    path: Path
    headers: Headers = {}
    body: Body | None = None

    @model_validator(mode="after")
    def _check_question(self) -> _Question:
        if self.body is not None and self.method == "GET":
            raise _problem('has a body, which needs method = "POST"')
        used = {name for text in (self.path, *_texts(self.body)) for name in PLACEHOLDER.findall(text)}
        in_path = set(_PLACEHOLDER.findall(self.path))
        known = self._placeholders()
        if odd := sorted((used | in_path) - known, key=str):
            raise _problem(f"has {odd[0]}, which stands for nothing: {', '.join(sorted(known))} does")
        if not used & known:
            raise _problem(f"has {' or '.join(sorted(known))} neither in its path nor in its body")
        return self

    def _placeholders(self) -> set[str]:
        return {TASK_ID}


class Ask(_Question):
    """The request for one task."""


class AskMany(_Question):
    """The request for many tasks; `tasks` gives their objects in the answer, `id` the id of each."""

    ids_per_call: Annotated[int, Field(ge=1, le=MAX_IDS_PER_CALL)]
    tasks: Expressions
    id: Expressions

    def _placeholders(self) -> set[str]:
        return {TASK_IDS}


class Submit(_Part):
    """The paths by action, where the URL of a callback goes, and where the answer has the id of the new task."""

    actions: Annotated[
        Mapping[Annotated[str, Field(pattern=_NAME)], SubmitPath],
        Field(min_length=1, max_length=_MAX_MEMBERS),
    ]
    headers: Headers = {}
    callback: Annotated[str, Field(pattern=_DOTTED)] | None = None
    callback_query: Annotated[str, Field(pattern=_NAME)] | None = None
    id: Expressions | None = None

    @model_validator(mode="after")
    def _check_submit(self) -> Submit:
        if self.callback is not None and self.callback_query is not None:
            raise _problem("has both callback and callback_query: one of them is enough")
        if any("{" in path for path in self.actions.values()):
            raise _problem("has a brace in a path: before there is a task, nothing can stand there")
        return self


class Callback(_Part):
    """Where the body of a callback has the id of its task."""

    id: Expressions


class Task(_Part):
    """Where the answer has the task, and the task its status, reason and times."""

    object: Expressions | None = None
    status: Expressions
    reason: Expressions | None = None
    submitted_at: Expressions | None = None
    started_at: Expressions | None = None
    finished_at: Expressions | None = None
    time_unit: TimeUnit | None = None


class WordsByClass(_Part):
    """The words of the status; those that are in no class leave a task pending."""

    queued: Words = ()
    processing: Words = ()
    succeeded: Annotated[Words, Field(min_length=1)]
    failed: Words = ()

    @model_validator(mode="after")
    def _check_words(self) -> WordsByClass:
        _check_distinct({name: map(normal, getattr(self, name)) for name in type(self).model_fields})
        return self


class OutputType(_Part):
    """An expression for the type of an output."""

    expression: ClipExpressions


def _output_type(value: Any) -> Any:
    if value is None or isinstance(value, dict) or value in get_args(OutputName):
        return value
    raise ValueError(f'must be one of {", ".join(get_args(OutputName))}, or {{ expression = "..." }}')


class Clips(_Part):
    """Where the clips are, and each of their fields; the names are those of `tunehook.clips.Clip`."""

    each: Expressions | None = None
    id: ClipExpressions | None = None
    title: ClipExpressions | None = None
    tags: ClipExpressions | None = None
    prompt: ClipExpressions | None = None
    duration_s: ClipExpressions | None = None
    duration_ms: ClipExpressions | None = None
    model: ClipExpressions | None = None
    created_at: ClipExpressions | None = None
    expires_at: ClipExpressions | None = None
    audio_url: ClipExpressions | None = None
    audio_source_url: ClipExpressions | None = None
    cover_url: ClipExpressions | None = None
    cover_source_url: ClipExpressions | None = None
    large_cover_url: ClipExpressions | None = None
    video_url: ClipExpressions | None = None
    stream_url: ClipExpressions | None = None
    stream_source_url: ClipExpressions | None = None
    text: ClipExpressions | None = None
    output_url: ClipExpressions | None = None
    output_type: Annotated[OutputType | OutputName | None, BeforeValidator(_output_type)] = None

    @model_validator(mode="after")
    def _check_clips(self) -> Clips:
        given = [name for name in _RESULTS if getattr(self, name) is not None]
        if self.output_url is not None and given:
            raise _problem(f"has both output_url and {given[0]}: an output is one file")
        if self.output_url is None and self.output_type is not None:
            raise _problem("has an output_type without output_url")
        if self.output_url is None and not given:
            raise _problem(f"names no result: one of {', '.join(_RESULTS)}, output_url")
        return self


_RESULTS: Final = ("audio_url", "audio_source_url", "video_url", "stream_url", "text")


class Said(_Part):
    """The HTTP statuses and the codes that say one thing."""

    statuses: Annotated[tuple[Annotated[int, Field(ge=300, le=599)], ...], Field(strict=False)] = ()
    codes: Words = ()


class Result(_Question):
    """The request for what a task has made, once its status says that it has ended well.

    `values` of the task's object may stand in it like the task's id. What `failed` names of its answer means that the
    task has failed after all, for the `reason` that stands there.
    """

    values: Annotated[
        Mapping[Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")], Expressions], Field(max_length=_MAX_VALUES)
    ] = {}
    object: Expressions | None = None
    failed: Said = Field(default_factory=Said)
    reason: Expressions | None = None

    def _placeholders(self) -> set[str]:
        return {TASK_ID, *(f"{{{name}}}" for name in self.values)}


class Answers(_Part):
    """What answers say of the provider or of the request, beside what is read from any answer."""

    code: Expressions | None = None
    message: Expressions | None = None
    not_found: Said = Field(default_factory=Said)
    throttled: Said = Field(default_factory=Said)
    refused: Said = Field(default_factory=Said)

    @model_validator(mode="after")
    def _check_answers(self) -> Answers:
        said = {"not_found": self.not_found, "throttled": self.throttled, "refused": self.refused}
        if self.code is None and any(each.codes for each in said.values()):
            raise _problem("has codes, and no code that says where they stand")
        _check_distinct({name: each.statuses for name, each in said.items()})
        _check_distinct({name: map(normal, each.codes) for name, each in said.items()})
        return self


class Recipe(_Part):
    """How a provider is asked, and how its answers are read."""

    about: Annotated[str, Field(max_length=500)] = ""
    base_url: Annotated[str, AfterValidator(usable_base_url)] | None = None
    headers: Headers = {}
    key: Key = Field(default_factory=Key)
    ask: Ask
    ask_many: AskMany | None = None
    result: Result | None = None
    submit: Submit | None = None
    callback: Callback | None = None
    task: Task
    words: WordsByClass
    clips: Clips | None = None
    answers: Answers = Field(default_factory=Answers)

    @model_validator(mode="after")
    def _check_key_header(self) -> Recipe:
        name = (self.key.name or "").lower() if self.key.where == "header" else None
        parts = (self, self.ask, self.ask_many, self.result, self.submit)
        if any(part is not None and name in part.headers for part in parts):
            raise _problem(f"has a header {name}, where the key goes")
        return self

    def as_json(self) -> dict[str, Any]:
        """Return the recipe as it was written, as JSON."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

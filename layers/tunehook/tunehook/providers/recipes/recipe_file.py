"""From a recipe as it is written to the checked one; each mistake is refused with its line and the reason."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from itertools import takewhile
from typing import Any, Final, TypeAlias, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tunehook.errors import InvalidInput
from tunehook.providers.recipes.recipe import Recipe

MAX_BYTES: Final = 32_000
"""Of a recipe, as a file and as JSON."""

_Path: TypeAlias = tuple[str | int, ...]

_AT_LINE: Final = re.compile(r" \(at line (\d+), column \d+\)$")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_SPACE: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR: Final = re.compile(r"[^\s,\]}#]+(?: \d[^\s,\]}#]*)?")
_TEXTS: Final = (
    re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', re.DOTALL),
    re.compile(r"'''(?:[^']|'(?!''))*'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
_MAX_KEY_SHOWN: Final = 64
_MAX_REASON: Final = 300


def read_recipe(text: str) -> Recipe:
    """Return the recipe in a TOML text; raise `InvalidInput` with the line and the reason if it is none.

    >>> read_recipe("[ask]\\npath = '/tasks'\\n[task]\\nstatus = 's'\\n[words]\\nsucceeded = ['ok']")
    Traceback (most recent call last):
    tunehook.errors.InvalidInput: recipe: line 1: ask: has {task_id} neither in its path nor in its body
    """
    _check_size(len(text.encode("utf-8", "replace")))
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = _AT_LINE.search(message)
        line = int(at[1]) if at else text.count("\n") + 1
        reason = message.removesuffix(" (at end of document)")
        raise InvalidInput("recipe", f"line {line}: is no TOML: {_AT_LINE.sub('', reason)}") from None
    except (RecursionError, ValueError):  # nested too deeply; numbers with too many digits
        raise InvalidInput("recipe", "is no TOML that can be read") from None
    return _validated(data, text)


def read_recipe_json(given: Any) -> Recipe:
    """Return the recipe in a JSON value; raise `InvalidInput` with the key at fault and the reason if it is none.

    Nothing that is unknown is quoted, since it may be a secret in the wrong place.
    """
    if not isinstance(given, Mapping):
        raise InvalidInput("recipe", "is no JSON object")
    try:
        _check_size(len(json.dumps(given, ensure_ascii=False).encode()))
    except (TypeError, ValueError, RecursionError):
        raise InvalidInput("recipe", "is no JSON") from None
    return _validated(given, None)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise InvalidInput("recipe", f"takes {size} bytes, more than {MAX_BYTES}")


def _validated(data: Mapping[str, Any], text: str | None) -> Recipe:
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
    except RecursionError:
        raise InvalidInput("recipe", "nests too deeply") from None
    if text is None:
        first = problems[0]
        known = takewhile(str.isidentifier, map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise InvalidInput(".".join(["recipe", *known][: len(first["loc"])]), "has an unknown field")
        raise InvalidInput(".".join(["recipe", *known]), _message(first))
    lines = key_lines(text)
    line, problem = min(((_line_of(each["loc"], lines), each) for each in problems), key=lambda pair: pair[0])
    raise InvalidInput("recipe", f"line {line}: {_reason(problem)}")


def _line_of(place: _Path, lines: Mapping[_Path, int]) -> int:
    """Return the line of a key, or of the innermost table that is there; 1 where nothing of it is."""
    return next((lines[place[:length]] for length in range(len(place), 0, -1) if place[:length] in lines), 1)


def _reason(problem: ErrorDetails) -> str:
    place = problem["loc"]
    shown = ".".join(str(part)[:_MAX_KEY_SHOWN] for part in place if part != "[key]")
    message = _message(problem)
    if problem["type"] == "extra_forbidden":
        known = _keys_at(place[:-1])
        close = difflib.get_close_matches(str(place[-1]), known, n=1)
        message = f"is unknown: {close[0]} may be meant" if close else f"is none of {', '.join(known)}"
    return f"{shown}: {message}" if shown else message


def _message(problem: ErrorDetails) -> str:
    if problem["type"] == "missing":
        return "is missing"
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be ", "must be ", 1)
    return "".join(each if each.isprintable() else "?" for each in message[:_MAX_REASON])


def _keys_at(place: _Path) -> list[str]:
    model: type[BaseModel] = Recipe
    for name in place:
        field = next((each for key, each in model.model_fields.items() if name in (key, each.alias)), None)
        inner = () if field is None else (field.annotation, *get_args(field.annotation))
        model = next(
            (each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)), model
        )
    return [field.alias or name for name, field in model.model_fields.items()]


def key_lines(text: str) -> dict[_Path, int]:
    """Return the line of each key of a TOML text that can be read, by its path; of a table, that of its header.

    Members of arrays are keys by their position.
    """
    return _Scan(text).lines


class _Scan:
    """Goes through a TOML text whose grammar is known to be right, and notes where its keys are."""

    def __init__(self, text: str) -> None:
        self.lines: dict[_Path, int] = {}
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._line = 1
        self._line_at = 0
        self._arrays: dict[_Path, int] = {}
        table: _Path = ()
        self._skip()
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip()

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _note(self, path: _Path) -> None:
        self._line += self._text.count("\n", self._line_at, self._at)
        self._line_at = self._at
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], self._line)

    def _header(self) -> _Path:
        is_array = self._text.startswith("[[", self._at)
        start = self._at
        self._at += 2 if is_array else 1
        names = self._key()
        end, self._at = self._at, start
        path: _Path = ()
        for position, name in enumerate(names):
            path += (name,)
            if is_array and position == len(names) - 1:
                self._arrays[path] = self._arrays.get(path, -1) + 1
            if path in self._arrays:
                path += (self._arrays[path],)
        self._note(path)
        self._at = end + (2 if is_array else 1)
        return path

    def _key(self) -> list[str]:
        names: list[str] = []
        while True:
            self._skip()
            if self._text[self._at] in "\"'":
                written = self._quoted()
                names.append(str(tomllib.loads(f"key = {written}")["key"]))
            else:
                match = _BARE_KEY.match(self._text, self._at)
                names.append(match[0] if match else "")
                self._at = match.end() if match else self._at + 1
            self._skip()
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _pair(self, table: _Path) -> None:
        start = self._at
        names = self._key()
        end, self._at = self._at, start
        path = (*table, *names)
        self._note(path)
        self._at = end + 1  # the equals sign
        self._value(path)

    def _value(self, path: _Path) -> None:
        self._skip()
        first = self._text[self._at]
        if first in "[{":
            self._at += 1
            position = 0
            while True:
                self._skip()
                if self._text[self._at] == ",":
                    self._at += 1
                elif self._text[self._at] in "]}":
                    self._at += 1
                    return
                elif first == "[":
                    self._note((*path, position))
                    self._value((*path, position))
                    position += 1
                else:
                    self._pair(path)
        elif first in "\"'":
            self._quoted()
        else:
            match = _SCALAR.match(self._text, self._at)
            self._at = match.end() if match else self._at + 1

    def _quoted(self) -> str:
        for pattern in _TEXTS:
            if (match := pattern.match(self._text, self._at)) is not None:
                self._at = match.end()
                return match[0]
        self._at += 1
        return '""'

"""Checks of values that users give: what pydantic refuses as an `InvalidInput`, and fields without a model."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from tunehook.errors import InvalidInput

if TYPE_CHECKING:
    from pydantic import ValidationError

Choice = TypeVar("Choice", bound=StrEnum)


def first_problem(error: ValidationError, whole: str) -> InvalidInput:
    """Return an error that names the first field at fault (or `whole`, where that is none), but not its value."""
    problem = error.errors()[0]
    field = ".".join(map(str, problem["loc"])) or whole
    return InvalidInput(field, problem["msg"].removeprefix("Value error, "))


def is_whole(value: object, least: int, most: int) -> TypeGuard[int]:
    """Return whether a value is a whole number from `least` to `most`; truth values are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def text_in(item: Mapping[str, Any], field: str) -> str:
    """Return a field that must be a string, or raise `InvalidInput`."""
    value = item.get(field)
    if not isinstance(value, str):
        raise InvalidInput(field, "must be a string")
    return value


def choice_in(item: Mapping[str, Any], field: str, default: Choice) -> Choice:
    """Return a field that must be of the default's enumeration, or raise `InvalidInput`; None is the default."""
    choices = type(default)
    if (value := item.get(field)) is None:
        return default
    if not isinstance(value, str) or value not in tuple(choices):
        raise InvalidInput(field, f"must be one of {', '.join(choices)}")
    return choices(value)

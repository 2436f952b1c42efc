"""What pydantic refuses, as the house's own error; and whole numbers, where no model is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunehook.errors import InvalidInput

if TYPE_CHECKING:
    from pydantic import ValidationError


def first_problem(error: ValidationError, whole: str) -> InvalidInput:
    """Return an error that names the first field at fault, and quotes nothing of its value.

    Parameters
    ----------
    error : ValidationError
        What a model has raised.
    whole : str
        What to name where the fault is no field's: it is no JSON, or not of the type at all.
    """
    problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return InvalidInput(
        ".".join(map(str, problem["loc"])) or whole, problem["msg"].removeprefix("Value error, ")
    )


def is_whole(value: object, least: int, most: int) -> bool:
    """Return whether a value is a whole number from `least` to `most`; truth values are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

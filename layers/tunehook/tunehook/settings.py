"""The environment of a function as one typed model, read once and never at import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tunehook.errors import Misconfigured

Settings = TypeVar("Settings", bound=BaseModel)


def load_settings(model: type[Settings], environment: Mapping[str, str] | None = None) -> Settings:
    """Read a function's settings from its environment: the field ``tasks_table`` from the variable ``TASKS_TABLE``.

    Raise `Misconfigured` that names each variable which is missing or unacceptable, never its value.
    """
    source = os.environ if environment is None else environment
    given = {name: source[name.upper()] for name in model.model_fields if name.upper() in source}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = (f"{str(problem['loc'][0]).upper()} ({problem['msg']})" for problem in error.errors())
        raise Misconfigured("environment: " + ", ".join(problems)) from None

"""What sets a stack's figures apart from those of another stack in the same account and region."""

from __future__ import annotations

from pydantic import BaseModel

from tunehook.settings import load_settings


class _Runtime(BaseModel):
    """What Lambda itself tells every function; outside of Lambda nobody does."""

    aws_lambda_function_name: str = ""


def function_dimension() -> dict[str, str]:
    """Return the dimension that every metric carries beside its service.

    Returns
    -------
    dict of str to str
        ``function_name`` with the function's name, which begins with the stack's; the name that Powertools gives this
        dimension. Empty outside of Lambda.
    """
    name = load_settings(_Runtime).aws_lambda_function_name
    return {"function_name": name} if name else {}

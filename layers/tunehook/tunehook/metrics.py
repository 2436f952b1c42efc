"""What the figures of all functions have in common: how much they tell, and which stack they are of.

CloudWatch bills each combination of a metric's name and dimensions by itself, for every hour in which it comes.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel

from tunehook.settings import load_settings


class Observability(StrEnum):
    """How much a stack writes about itself: the parameter ``Observability`` of the template.

    ``full`` is all that the dashboard shows and the alarms watch, by provider, outcome and status. ``lean`` is how many
    tasks and deliveries ended, and what an alarm can watch: without those dimensions, and nothing where it is zero.
    """

    LEAN = "lean"
    FULL = "full"


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

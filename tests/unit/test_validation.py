"""What a model refuses, as the house's own error, and fields without a model."""

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from tunehook.errors import InvalidInput
from tunehook.tasks import Format
from tunehook.validation import choice_in, first_problem, is_whole, text_in


def test_a_text_is_a_string() -> None:
    assert text_in({"url": ""}, "url") == ""


@pytest.mark.parametrize("item", [{}, {"url": None}, {"url": 7}, {"url": b"x"}])
def test_what_is_no_text_is_named(item: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match=r"^url: must be a string$"):
        text_in(item, "url")


@pytest.mark.parametrize(
    ("item", "choice"),
    [({}, Format.STANDARD), ({"format": None}, Format.STANDARD), ({"format": "provider"}, Format.PROVIDER)],
)
def test_a_choice_that_is_not_made_is_the_default(item: dict[str, object], choice: Format) -> None:
    assert choice_in(item, "format", Format.STANDARD) is choice


@pytest.mark.parametrize("value", ["", "xml", "PROVIDER", 1, ["provider"], b"provider"])
def test_what_is_no_choice_is_named_with_all_choices(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"^format: must be one of standard, provider, cloudevents$"):
        choice_in({"format": value}, "format", Format.STANDARD)


@pytest.mark.parametrize(
    ("value", "is_one"),
    [(1, False), (2, True), (5, True), (6, False), (True, False), (2.0, False), ("2", False), (None, False)],
)
def test_a_whole_number_lies_within_its_bounds(value: object, is_one: bool) -> None:
    assert is_whole(value, 2, 5) is is_one


class Inner(BaseModel):
    count: int = Field(ge=1)

    @field_validator("count")
    @classmethod
    def _odd(cls, count: int) -> int:
        if count % 2 == 0:
            raise ValueError("must be odd")
        return count


class Outer(BaseModel):
    inner: list[Inner]


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ('{"inner": [{"count": 1}, {"count": 2}]}', "inner.1.count", "must be odd"),
        ('{"inner": [{"count": 0}]}', "inner.0.count", "Input should be greater than or equal to 1"),
        ("{", "message", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
    ],
)
def test_the_first_field_at_fault_is_named(body: str, field: str, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate_json(body)
    problem = first_problem(caught.value, "message")
    assert (problem.field, problem.reason) == (field, reason)
    assert str(problem) == f"{field}: {reason}"

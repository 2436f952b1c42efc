"""What a model refuses, as the house's own error, and whole numbers."""

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from tunehook.validation import first_problem, is_whole


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

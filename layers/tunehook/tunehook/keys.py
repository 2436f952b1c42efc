"""Texts that DynamoDB accepts as a key, for pydantic models of outside data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from pydantic import AfterValidator

HASH_KEY_MAX_BYTES: Final = 2048
RANGE_KEY_MAX_BYTES: Final = 1024


def _of_at_most(max_bytes: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not 1 <= len(text.encode()) <= max_bytes:
            raise ValueError(f"must be 1 to {max_bytes} bytes of UTF-8")
        return text

    return check


HashKey = Annotated[str, AfterValidator(_of_at_most(HASH_KEY_MAX_BYTES))]
RangeKey = Annotated[str, AfterValidator(_of_at_most(RANGE_KEY_MAX_BYTES))]

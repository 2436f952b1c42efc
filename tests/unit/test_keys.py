import pytest
from pydantic import TypeAdapter, ValidationError

from tunehook.keys import HashKey, RangeKey


@pytest.mark.parametrize(("kind", "most"), [(HashKey, 2048), (RangeKey, 1024)])
def test_a_key_has_one_byte_at_least_and_as_many_as_a_table_takes(kind: object, most: int) -> None:
    check = TypeAdapter(kind).validate_python
    for key in ("k", "k" * most, "歌" * (most // 3)):
        assert check(key) == key
    for key in ("", "k" * (most + 1), "歌" * (most // 3 + 1)):
        with pytest.raises(ValidationError, match=f"1 to {most} bytes"):
            check(key)

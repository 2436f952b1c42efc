"""Which versions of a secret sign, and what an item may say of them."""

from typing import Any

import pytest

from tunehook.secret_versions import FIRST, SecretVersions, versions_on


@pytest.mark.parametrize(
    ("present", "until_ms", "now_ms", "signing"),
    [
        (1, 0, 5, (1,)),
        (1, 9, 5, (1,)),
        (2, 6, 5, (2, 1)),
        (2, 5, 5, (2,)),
        (2, 4, 5, (2,)),
        (7, 9, 5, (7, 6)),
    ],
)
def test_the_version_before_signs_until_its_grace_is_over(
    present: int, until_ms: int, now_ms: int, signing: tuple[int, ...]
) -> None:
    assert SecretVersions(present=present, previous_until_ms=until_ms).signing(now_ms) == signing


@pytest.mark.parametrize(
    ("item", "versions"),
    [
        ({}, FIRST),
        ({"secret_version": 1, "previous_secret_until_ms": 9}, FIRST),
        ({"secret_version": 2}, SecretVersions(present=2)),
        (
            {"secret_version": 2, "previous_secret_until_ms": 9},
            SecretVersions(present=2, previous_until_ms=9),
        ),
        ({"secret_version": 2, "previous_secret_until_ms": -1}, SecretVersions(present=2)),
        ({"secret_version": 2, "previous_secret_until_ms": 253_402_300_800_000}, SecretVersions(present=2)),
        (
            {"secret_version": 1_000_000_000, "previous_secret_until_ms": 253_402_300_799_999},
            SecretVersions(present=1_000_000_000, previous_until_ms=253_402_300_799_999),
        ),
        ({"secret_version": 1_000_000_001}, FIRST),
        ({"secret_version": True}, FIRST),
        ({"secret_version": "2"}, FIRST),
    ],
)
def test_what_tunehook_cannot_have_written_is_not_given(
    item: dict[str, Any], versions: SecretVersions
) -> None:
    assert versions_on(item) == versions


def test_a_secret_that_was_never_rotated_has_one_version() -> None:
    assert (FIRST.present, FIRST.previous_until_ms) == (1, 0)

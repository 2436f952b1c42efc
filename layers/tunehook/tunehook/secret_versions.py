"""Which versions of a subscription's secret sign: the present one, and for a while after a rotation the one before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tunehook.times import LATEST_MS
from tunehook.validation import is_whole

VERSION_MAX: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretVersions:
    """The present version of a subscription's secret, from 1; the one before it signs until `previous_until_ms` too.

    A rotation raises the version by one.
    """

    present: int = 1
    previous_until_ms: int = 0

    def signing(self, now_ms: int) -> tuple[int, ...]:
        """Return the versions that sign at this moment, newest first."""
        both = self.present > 1 and self.previous_until_ms > now_ms
        return (self.present, self.present - 1) if both else (self.present,)


FIRST: Final = SecretVersions()
"""Of a subscription whose secret was never rotated."""


def versions_on(item: Mapping[str, Any]) -> SecretVersions:
    """Return the versions on a subscription's own item, without what tunehook cannot have written.

    The count only begins with them: from then on `tunehook.aws.secret_versions.SecretVersionsTable` has it.
    """
    version: Any = item.get("secret_version")
    until_ms: Any = item.get("previous_secret_until_ms")
    if not is_whole(version, 2, VERSION_MAX):
        return FIRST
    previous_until_ms = until_ms if is_whole(until_ms, 0, LATEST_MS) else 0
    return SecretVersions(present=version, previous_until_ms=previous_until_ms)

"""How `tunehook_local` makes an AWS on this machine known to the command; without it there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class EmbeddedAws(Protocol):
    """How to reach an AWS that runs on this machine."""

    @property
    def endpoint(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def access_key_id(self) -> str: ...
    @property
    def secret_access_key(self) -> str: ...
    @property
    def stack_name(self) -> str: ...


_find: Callable[[], EmbeddedAws | None] = lambda: None  # noqa: E731


def use_embedded_aws(find: Callable[[], EmbeddedAws | None]) -> None:
    """Take the AWS that `find` returns, if it returns one, where the environment names no other."""
    global _find
    _find = find


def find_embedded_aws() -> EmbeddedAws | None:
    """Return the AWS that runs on this machine, or None."""
    return _find()

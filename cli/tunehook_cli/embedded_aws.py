"""How `tunehook_local` makes an AWS on this machine known to the command; without it there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class EmbeddedAws:
    """How to reach an AWS that runs on this machine."""

    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str
    stack_name: str

    @property
    def host(self) -> str:
        return str(urlsplit(self.endpoint).hostname)

    @property
    def port(self) -> int | None:
        return urlsplit(self.endpoint).port

    def printed_lines(self) -> Iterable[str]:
        """Return what functions have logged, but for what CloudWatch Logs there has, among lines of others."""
        return ()


_find: Callable[[], EmbeddedAws | None] = lambda: None  # noqa: E731


def use_embedded_aws(find: Callable[[], EmbeddedAws | None]) -> None:
    """Take the AWS that `find` returns, if it returns one, where the environment names no other."""
    global _find
    _find = find


def find_embedded_aws() -> EmbeddedAws | None:
    return _find()

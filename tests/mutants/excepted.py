"""What no test can notice, by the list `excepted.toml`: each entry has a reason."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from tests.mutants.changes import Change

LIST: Final = Path(__file__).with_name("excepted.toml")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: where (a pattern of paths), in which statements (an expression that is searched for), and why.

    `kinds` and `before` narrow it to kinds of changes and to what is changed; empty, they are all.
    """

    where: str
    statement: re.Pattern[str]
    reason: str
    kinds: tuple[str, ...] = ()
    before: re.Pattern[str] = re.compile("")

    def matches(self, module: str, change: Change) -> bool:
        """Say whether this is the entry of a change."""
        return (
            fnmatchcase(module, self.where)
            and (not self.kinds or change.kind in self.kinds)
            and self.statement.search(change.statement) is not None
            and self.before.search(change.before) is not None
        )


def entries(path: Path = LIST) -> list[Entry]:
    """Return the list.

    Raises
    ------
    ValueError
        If an entry has no reason, or a key that is not known.
    """
    found = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["excepted"]:
        unknown = entry.keys() - {"where", "statement", "reason", "kinds", "before"}
        if unknown or not entry.get("reason", "").strip():
            raise ValueError(f"an entry of {path.name} has no reason, or an unknown key: {entry}")
        found.append(
            Entry(
                entry["where"],
                re.compile(entry["statement"], re.MULTILINE),
                entry["reason"],
                tuple(entry.get("kinds", ())),
                re.compile(entry.get("before", ""), re.MULTILINE),
            )
        )
    return found


def reason_of(module: str, change: Change, known: list[Entry]) -> str | None:
    """Return why nothing can notice a change, or None if something can."""
    return next((entry.reason for entry in known if entry.matches(module, change)), None)

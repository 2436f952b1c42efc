"""The memory of a sender's processes, those that they started with them, as ``/proc`` tells it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

_EVERY_S: Final = 0.5
_PROC: Final = Path("/proc")


def resident_mb(pids: Iterable[int], proc: Path = _PROC) -> float | None:
    """Return the resident memory of processes and of all that they started, in MB; None if none of them is there."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    resident: dict[int, float] = {}
    for status in proc.glob("[0-9]*/status"):
        with suppress(OSError):
            fields = dict(
                line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line
            )
            pid = int(status.parent.name)
            children[int(fields["PPid"])].append(pid)
            resident[pid] = int(fields["VmRSS"].split()[0]) * 1024 / 1e6 if "VmRSS" in fields else 0.0
    waiting, seen = list(pids), set[int]()
    while waiting:
        pid = waiting.pop()
        if pid in resident and pid not in seen:
            seen.add(pid)
            waiting += children[pid]
    return sum(resident[pid] for pid in seen) if seen else None


class Watch:
    """The most memory that was seen."""

    def __init__(self) -> None:
        self.most_mb: float | None = None

    def see(self, mb: float | None) -> None:
        """Take a look into account."""
        if mb is not None:
            self.most_mb = max(mb, self.most_mb or 0.0)


@asynccontextmanager
async def watching(pids: Iterable[int]) -> AsyncIterator[Watch]:
    """Look twice a second, as long as the context lasts."""
    watch, given = Watch(), list(pids)

    async def look() -> None:
        while True:
            watch.see(await asyncio.to_thread(resident_mb, given))
            await asyncio.sleep(_EVERY_S)

    if not given:
        yield watch
        return
    looking = asyncio.create_task(look())
    try:
        yield watch
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

import asyncio
import os
from pathlib import Path

from benchmarks.senders.processes import Watch, resident_mb, watching


def process(proc: Path, pid: int, parent: int, kib: int | None) -> None:
    (proc / str(pid)).mkdir()
    resident = "" if kib is None else f"VmRSS:\t  {kib} kB\n"
    (proc / str(pid) / "status").write_text(f"Name:\tx\nPPid:\t{parent}\n{resident}")


def test_the_memory_is_that_of_the_processes_and_of_all_that_they_started(tmp_path: Path) -> None:
    for pid, parent, kib in ((10, 1, 1000), (11, 10, 2000), (12, 11, 4000), (20, 1, 8000), (30, 1, 16000)):
        process(tmp_path, pid, parent, kib)
    assert resident_mb([10, 20, 12], tmp_path) == 15000 * 1024 / 1e6


def test_a_process_without_memory_counts_as_nothing(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, None)
    assert resident_mb([10], tmp_path) == 0.0


def test_a_process_that_is_gone_has_no_memory(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, 1000)
    assert resident_mb([11], tmp_path) is None


def test_the_most_is_kept() -> None:
    watch = Watch()
    for mb in (None, 3.0, 5.0, None, 4.0):
        watch.see(mb)
    assert watch.most_mb == 5.0


async def test_a_watch_sees_a_process_and_nothing_without_one() -> None:
    async with watching([]) as none:
        pass
    assert none.most_mb is None
    async with watching([os.getpid()]) as some:
        while some.most_mb is None:
            await asyncio.sleep(0)
    assert some.most_mb > 1

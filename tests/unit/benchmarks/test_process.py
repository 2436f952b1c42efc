import os
import signal
import subprocess
import sys

import pytest
from benchmarks.process import children, peak_memory_mb, processor_time_s


def test_the_peak_of_a_process_stays_when_its_memory_is_given_back() -> None:
    before_mb = peak_memory_mb()
    hoard = bytearray(os.urandom(1)) * 400_000_000
    assert peak_memory_mb() >= max(before_mb, 400)
    del hoard
    assert peak_memory_mb() >= 400


def test_another_process_has_a_peak_of_its_own() -> None:
    with subprocess.Popen(["sleep", "5"]) as process:
        assert 0 < peak_memory_mb(process.pid) < peak_memory_mb()
        process.kill()


def test_a_process_that_is_not_there_has_none() -> None:
    with pytest.raises(RuntimeError, match="does not tell"):
        peak_memory_mb(2**30)


@pytest.mark.parametrize("computes_s", [0.1, 0.4])
def test_the_processor_time_of_a_process_is_what_it_has_computed(computes_s: float) -> None:
    work = f"while time.process_time() < {computes_s}: pass"
    code = f"import time\n{work}\nprint(time.process_time(), flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        computed_s = float(process.stdout.readline())
        # The system counts in hundredths, of two kinds.
        assert processor_time_s(process.pid) == pytest.approx(computed_s, abs=0.05)
        process.stdin.write("\n")


def test_a_process_that_is_not_there_has_no_processor_time() -> None:
    with pytest.raises(RuntimeError, match="does not tell"):
        processor_time_s(2**30)


def test_the_children_of_a_process_are_those_that_it_has_started_itself() -> None:
    before = children(os.getpid())
    with subprocess.Popen(["sh", "-c", "sleep 5 & echo $!; wait"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        assert children(os.getpid()) - before == {process.pid}
        assert children(process.pid) == {grandchild}
        os.kill(grandchild, signal.SIGKILL)
    assert children(os.getpid()) == before


def test_a_process_that_is_not_there_has_no_children() -> None:
    with pytest.raises(RuntimeError, match="does not tell"):
        children(2**30)

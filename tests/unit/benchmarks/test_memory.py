import os
import subprocess

import pytest
from benchmarks.memory import peak_memory_mb


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

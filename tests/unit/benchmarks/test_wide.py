import pytest
from benchmarks.wide import ANSWER_S, MAX_CONCURRENCY, ideal_s, split, unevenness

from tunehook.ids import shard_of


def test_every_task_is_in_the_part_of_its_shard_once() -> None:
    ids = [f"task-{number}" for number in range(200)]
    parts = split(ids, 8)
    assert sorted(task_id for part in parts for task_id in part) == sorted(ids)
    assert all(shard_of(task_id, 8) == shard for shard, part in enumerate(parts) for task_id in part)


def test_unevenness_is_the_largest_part_over_the_mean() -> None:
    assert unevenness([["a", "b", "c"], ["d"]]) == pytest.approx(1.5)


def test_the_ideal_keeps_every_connection_busy() -> None:
    assert ideal_s(10 * MAX_CONCURRENCY) == pytest.approx(10 * ANSWER_S)

import pytest
from benchmarks.api_calls import REQUESTS, measure
from benchmarks.aws_cost import KEY_CHECK


@pytest.fixture(scope="module")
def figures() -> dict[str, float]:
    return {row.name: row.value for row in measure()}


def test_every_request_is_counted(figures: dict[str, float]) -> None:
    assert [each for each in REQUESTS if not figures.get(f"{each}: AWS calls")] == []


def test_a_key_is_checked_by_one_read(figures: dict[str, float]) -> None:
    assert figures[f"{KEY_CHECK}: AWS calls"] == figures[f"{KEY_CHECK}: dynamodb GetItem"] == 1


def test_no_list_scans_a_table(figures: dict[str, float]) -> None:
    assert [name for name in figures if "Scan" in name] == []


def test_a_callback_writes_one_hint_at_most(figures: dict[str, float]) -> None:
    calls = {
        each: figures.get(f"callback about {each}: write units, tables", 0)
        for each in ("a pending task", "an ended task", "an unknown task")
    }
    assert calls == {"a pending task": 1, "an ended task": 0, "an unknown task": 1}

"""docs/reliability.md: its tables are those of the last long run."""

from __future__ import annotations

from benchmarks.report import Row
from tests.stack.faults.report import BEGIN, DOCUMENT, END, document, read_rows

ROWS = [
    Row("seed", 7, ""),
    Row("tasks", 2000, "tasks"),
    Row("webhooks", 6666, "webhooks"),
    Row("requests at receivers", 7001, "requests"),
    Row("broken: SIGKILL: poller", 20, "times"),
    Row("must be 0: tasks lost", 0, "of 2000"),
    Row("accepted twice: share of webhooks", 0.00123, "ratio"),
    Row("accepted twice: kill of a webhooks worker", 8, "webhooks"),
    Row("dead letters: all", 2, "messages"),
    Row("delay: end at the provider to end in the item, p50", 2.3456, "s"),
    Row("deliveries of 1 attempt", 6000, "deliveries"),
]


def test_the_tables_are_those_of_the_results() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == document(text, read_rows()), "make soak"


def test_only_what_is_between_the_marks_is_written() -> None:
    text = document(f"before\n{BEGIN}\nold\n{END}\nafter\n", ROWS)
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "old" not in text.split()
    assert document(text, ROWS) == text


def test_every_row_is_in_a_table() -> None:
    text = document(f"{BEGIN}\n{END}", ROWS)
    assert "seed 7: 2,000 tasks, 6,666 webhooks to deliver, 7,001 requests" in text
    for line in (
        "| tasks lost | 0 | 2,000 |",
        "| share of webhooks | 0.12% |",
        "| kill of a webhooks worker | 8 |",
        "| dead letters: all | 2 |",
        "| end at the provider to end in the item, p50 | 2.35 |",
        "| deliveries of 1 attempt | 6,000 |",
        "| SIGKILL: poller | 20 |",
    ):
        assert line in text.splitlines()

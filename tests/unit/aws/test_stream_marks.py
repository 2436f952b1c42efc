"""How far the table was looked through, as it is written and read."""

from typing import Any

import pytest
from tests.support.aws import client, create_table, items, put

from tunehook.aws.stream_marks import MARK, StreamMark, StreamMarks
from tunehook.tasks import TaskKey

NAME = "ProviderStatesTable"


@pytest.fixture
def marks(aws: None) -> StreamMarks:
    create_table(NAME)
    return StreamMarks(client("dynamodb"), NAME)


def test_a_mark_is_read_as_it_was_written(marks: StreamMarks) -> None:
    assert marks.get() is None
    for mark in (StreamMark("arn:1", TaskKey("task-1", "suno")), StreamMark("arn:2")):
        marks.set(mark)
        assert marks.get() == mark
    assert items(NAME) == [{"provider": MARK, "stream": "arn:2"}]
    assert MARK != "gw"


@pytest.mark.parametrize("item", [{}, {"stream": 7}, {"stopped_at": ["t", "p"]}])
def test_what_names_no_stream_is_no_mark(marks: StreamMarks, item: dict[str, Any]) -> None:
    put(NAME, {"provider": MARK, **item})
    assert marks.get() is None

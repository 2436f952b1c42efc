"""The newest entries of a list over many looks: what is read, and how often."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tunehook.aws.pages import CLOCK_AHEAD_MS, DAY_MS, Position
from tunehook.errors import Unavailable
from tunehook.operations.newest import LAG_MS, OPEN_AT_MOST, Newest

TIE = "0" * 16


@dataclass
class Table:
    """A list of names, each with its moment and its state, that counts what is read of it."""

    entries: dict[str, int] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    listed_keys: int = 0
    reads: list[tuple[tuple[str, ...], bool]] = field(default_factory=list)
    asked_since: list[int] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    is_busy: bool = False
    is_unlisted: bool = False
    now_ms: int = 0

    def add(self, name: str, at_ms: int, state: str = "final") -> None:
        self.entries[name], self.states[name] = at_ms, state

    def listed(self, since_ms: int, after: Position | None, wanted: int) -> Iterator[tuple[Position, str]]:
        self.asked_since.append(since_ms)
        self.wanted.append(wanted)
        if self.is_unlisted:
            raise Unavailable("the index is busy")
        for name, at_ms in sorted(self.entries.items(), key=lambda each: -each[1]):
            if self.is_unlisted:
                raise Unavailable("the index is busy")
            if at_ms >= since_ms and (after is None or at_ms < after.at_ms):
                self.listed_keys += 1
                yield Position(at_ms, TIE), name

    def read(self, keys: list[str], consistent: bool) -> dict[str, str]:
        if self.is_busy:
            raise Unavailable("the table is busy")
        if keys:
            self.reads.append((tuple(keys), consistent))
        return {key: f"{key} {self.states[key]}" for key in keys if key in self.states}

    def newest(self, most: int = 1_000, ends_at: Position | None = None) -> Newest[str, str]:
        def is_final(found: str) -> bool:
            return found.endswith("final")

        return Newest(
            self.listed, self.read, is_final, most=most, ends_at=ends_at, clock_ms=lambda: self.now_ms
        )


@pytest.fixture
def table() -> Table:
    return Table()


def test_what_is_final_is_read_once(table: Table) -> None:
    for number in range(30):
        table.add(f"n{number}", number * LAG_MS * 2)
    newest = table.newest()
    assert newest.refresh(30) == [f"n{number} final" for number in reversed(range(30))]
    table.reads.clear()
    table.listed_keys = 0
    for _ in range(100):
        newest.refresh(0)
    assert table.reads == []
    # Of the index it reads no further than what may have come late.
    assert table.listed_keys == 100


def test_what_can_change_is_read_again_until_it_is_final(table: Table) -> None:
    table.add("done", 2)
    table.add("open", 1, "open")
    newest = table.newest()
    newest.refresh(10)
    assert newest.refresh(0) == ["done final", "open open"]
    table.states["open"] = "final"
    assert newest.refresh(0) == ["done final", "open final"]
    newest.refresh(0)
    assert table.reads == [(("done", "open"), True), (("open",), False), (("open",), False)]


def test_of_what_can_change_the_newest_hundred_are_read_again(table: Table) -> None:
    for number in range(150):
        table.add(f"n{number}", number, "open")
    newest = table.newest()
    newest.refresh(150)
    table.reads.clear()
    newest.refresh(0)
    assert [len(keys) for keys, _ in table.reads] == [OPEN_AT_MOST]
    assert table.reads[0][0][0] == "n149"


def test_what_is_new_stands_first_and_what_is_too_old_leaves(table: Table) -> None:
    for number in range(3):
        table.add(f"n{number}", number)
    newest = table.newest(most=3)
    newest.refresh(3)
    table.add("n3", 3)
    assert newest.refresh(0) == ["n3 final", "n2 final", "n1 final"]
    assert newest.is_whole


def test_of_an_empty_list_the_first_entry_is_found(table: Table) -> None:
    newest = table.newest()
    assert newest.refresh(30) == []
    assert newest.is_whole
    table.add("first", 1)
    assert newest.refresh(0) == ["first final"]


def test_an_entry_that_appears_late_in_the_index_is_found(table: Table) -> None:
    table.add("prompt", LAG_MS)
    newest = table.newest()
    newest.refresh(30)
    table.add("late", 1)
    assert newest.refresh(0) == ["prompt final", "late final"]


def test_one_that_is_put_again_moves_and_is_read_again(table: Table) -> None:
    table.add("other", 2)
    table.add("again", 1)
    newest = table.newest()
    newest.refresh(30)
    table.add("again", 3, "open")
    assert newest.refresh(0) == ["again open", "other final"]


def test_older_ones_are_read_bit_by_bit_in_one_walk(table: Table) -> None:
    for number in range(10):
        table.add(f"n{number}", number * LAG_MS * 2)
    newest = table.newest()
    assert len(newest.refresh(4)) == 4
    assert not newest.is_whole
    assert len(newest.refresh(4)) == 8
    assert len(newest.refresh(4)) == 10
    assert newest.is_whole
    assert (
        len({key for keys, _ in table.reads for key in keys})
        == sum(len(keys) for keys, _ in table.reads)
        == 10
    )


def test_what_is_beyond_the_page_stays_there_however_near_it_is(table: Table) -> None:
    for number in range(5):
        table.add(f"n{number}", number)
    newest = table.newest()
    assert newest.refresh(3) == newest.refresh(0) == ["n4 final", "n3 final", "n2 final"]


def test_what_could_not_be_read_is_read_by_the_next_look(table: Table) -> None:
    table.add("one", 1)
    newest = table.newest()
    table.is_busy = True
    with pytest.raises(Unavailable):
        newest.refresh(30)
    table.is_busy = False
    assert newest.refresh(30) == ["one final"]


def test_a_list_that_has_long_been_quiet_is_asked_for_what_has_come_since_the_last_look(table: Table) -> None:
    table.add("old", 1)
    table.now_ms = 90 * DAY_MS
    newest = table.newest()
    newest.refresh(30)
    table.now_ms += DAY_MS
    newest.refresh(0)
    # By the clock of who has written it, it may be some minutes ago.
    table.add("new", 90 * DAY_MS - CLOCK_AHEAD_MS - LAG_MS)
    assert newest.refresh(0) == ["old final"]
    assert table.asked_since == [0, *(days * DAY_MS - CLOCK_AHEAD_MS - LAG_MS for days in (90, 91))]
    table.add("newer", 91 * DAY_MS - CLOCK_AHEAD_MS - LAG_MS)
    assert newest.refresh(0) == ["newer final", "old final"]


def test_a_look_that_failed_is_made_up_for_by_the_next(table: Table) -> None:
    newest = table.newest()
    newest.refresh(30)
    table.now_ms, table.is_unlisted = DAY_MS, True
    with pytest.raises(Unavailable):
        newest.refresh(0)
    table.is_unlisted = False
    table.add("meanwhile", 1)
    assert newest.refresh(0) == ["meanwhile final"]


def test_one_that_ends_at_a_position_has_all_down_to_it_however_many_have_come(table: Table) -> None:
    for number in range(5):
        table.add(f"n{number}", number)
    newest = table.newest(ends_at=Position(3, TIE))
    table.add("n5", 5)
    assert newest.refresh(100) == ["n5 final", "n4 final", "n3 final"]
    table.add("n6", 6)
    assert newest.refresh(0) == ["n6 final", "n5 final", "n4 final", "n3 final"]
    assert (newest.is_whole, newest.is_cut) == (True, False)


def test_what_is_too_much_is_cut_off_and_not_read_again(table: Table) -> None:
    for number in range(5):
        table.add(f"n{number}", number)
    newest = table.newest(most=3, ends_at=Position(0, TIE))
    assert newest.refresh(100) == ["n4 final", "n3 final", "n2 final"]
    assert newest.is_cut
    newest = table.newest(most=5, ends_at=Position(0, TIE))
    newest.refresh(100)
    assert not newest.is_cut
    table.add("n5", 5)
    assert newest.refresh(0) == [f"n{number} final" for number in (5, 4, 3, 2, 1)]
    assert newest.is_cut
    table.reads.clear()
    newest.refresh(0)
    assert table.reads == []


def test_a_walk_that_broke_off_is_gone_on_with_and_asks_for_what_is_still_wanted(table: Table) -> None:
    for number in range(10):
        table.add(f"n{number}", number * LAG_MS * 2)
    newest = table.newest(most=10)
    newest.refresh(4)
    table.is_unlisted = True
    with pytest.raises(Unavailable):
        newest.refresh(4)
    table.is_unlisted = False
    assert newest.refresh(4) == [f"n{number} final" for number in range(9, 1, -1)]
    assert table.wanted == [10, 6]


def test_no_more_than_the_most_are_read_however_many_are_asked_for(table: Table) -> None:
    for number in range(10):
        table.add(f"n{number}", number * LAG_MS * 2)
    newest = table.newest(most=5)
    newest.refresh(3)
    assert newest.refresh(100) == [f"n{number} final" for number in range(9, 4, -1)]
    assert [keys for keys, _ in table.reads] == [("n9", "n8", "n7"), ("n6", "n5")]
    assert (newest.is_whole, newest.is_cut) == (True, True)

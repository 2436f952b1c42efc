import pytest
from benchmarks.aws_units import (
    Attributes,
    Index,
    index_write_units,
    indexes_of,
    item_bytes,
    read_units,
    write_units,
)
from tests.support.template import table_definition

WORK = Index(("queue", "since_ms"), frozenset({"id", "queue", "since_ms", "phase"}))


def text(length: int) -> Attributes:
    """An item of `length` bytes."""
    return {"a": {"S": "x" * (length - 1)}}


def item(**attributes: str) -> dict[str, dict[str, str]]:
    return {name: {"S": value} for name, value in attributes.items()}


class TestItemBytes:
    @pytest.mark.parametrize(
        ("attribute", "size"),
        [
            ({"S": "abc"}, 3),
            ({"S": "曲"}, 3),
            ({"S": ""}, 0),
            ({"N": "7"}, 2),
            ({"N": "12"}, 2),
            ({"N": "123"}, 3),
            ({"N": "1800000000000"}, 2),
            ({"N": "1800000000123"}, 8),
            ({"N": "-123"}, 4),
            ({"N": "0.0012"}, 2),
            ({"N": "1.5E+10"}, 2),
            ({"N": "0"}, 1),
            ({"B": b"abcd"}, 4),
            ({"BOOL": True}, 1),
            ({"NULL": True}, 1),
            ({"SS": ["ab", "c"]}, 3),
            ({"NS": ["7", "123"]}, 5),
            ({"BS": [b"ab"]}, 2),
            ({"L": []}, 3),
            ({"L": [{"S": "ab"}, {"BOOL": True}]}, 3 + 2 + 3),
            ({"M": {}}, 3),
            ({"M": {"name": {"S": "ab"}}}, 3 + 1 + 4 + 2),
        ],
    )
    def test_a_value_has_the_size_that_the_guide_gives(self, attribute: dict[str, object], size: int) -> None:
        assert item_bytes({"": attribute}) == size

    def test_names_count_as_they_are_in_utf8(self) -> None:
        assert item_bytes({"née": {"S": "x"}, "id": {"S": "y"}}) == 4 + 1 + 2 + 1

    def test_an_unknown_kind_of_value_is_refused(self) -> None:
        with pytest.raises(ValueError, match="XX"):
            item_bytes({"a": {"XX": "1"}})


class TestWrites:
    @pytest.mark.parametrize(("size", "units"), [(1, 1), (1024, 1), (1025, 2), (2048, 2), (5000, 5)])
    def test_a_write_costs_a_unit_for_each_kilobyte_begun(self, size: int, units: int) -> None:
        assert write_units(None, text(size)) == units

    @pytest.mark.parametrize("images", [(text(3000), text(10)), (text(10), text(3000)), (text(3000), None)])
    def test_the_larger_of_before_and_after_counts(self, images: tuple[Attributes | None, ...]) -> None:
        assert write_units(*images) == 3

    def test_a_write_that_touches_nothing_costs_one_all_the_same(self) -> None:
        assert write_units(None, None) == 1


class TestIndexWrites:
    BEFORE = item(id="1", queue="work#0", since_ms="5", phase="queued", clips="long")

    def test_an_item_that_is_in_it_neither_before_nor_after_costs_nothing(self) -> None:
        assert index_write_units(WORK, None, item(id="1", queue="work#0")) == 0

    def test_an_item_that_comes_costs_one_write(self) -> None:
        assert index_write_units(WORK, item(id="1"), self.BEFORE) == 1

    def test_an_item_that_goes_costs_one_write(self) -> None:
        assert index_write_units(WORK, self.BEFORE, item(id="1", since_ms="5")) == 1

    def test_a_change_of_what_is_not_projected_costs_nothing(self) -> None:
        assert index_write_units(WORK, self.BEFORE, self.BEFORE | item(clips="x" * 5000)) == 0

    def test_a_change_of_what_is_projected_costs_one_write(self) -> None:
        assert index_write_units(WORK, self.BEFORE, self.BEFORE | item(phase="processing")) == 1

    def test_a_change_of_a_key_costs_two_writes(self) -> None:
        assert index_write_units(WORK, self.BEFORE, self.BEFORE | item(queue="emit#0")) == 2

    def test_the_size_of_the_entry_counts_and_not_that_of_the_item(self) -> None:
        assert index_write_units(WORK, None, self.BEFORE | item(clips="x" * 5000)) == 1
        assert index_write_units(WORK, None, self.BEFORE | item(phase="x" * 2000)) == 2

    def test_an_index_of_everything_holds_the_whole_item(self) -> None:
        everything = Index(("queue",), None)
        assert index_write_units(everything, None, self.BEFORE | item(clips="x" * 5000)) == 5

    def test_the_indexes_are_those_of_the_template(self) -> None:
        work, ended, listed = indexes_of(table_definition("TasksTable"))
        assert work.keys == ("queue", "since_ms")
        assert work.projected is not None
        assert {"task_id", "provider", "queue", "since_ms", "phase"} <= work.projected
        assert "clips" not in work.projected
        assert ended.keys == ("provider", "detected_at_ms")
        assert listed == Index(
            ("listed", "listed_at_ms"), frozenset({"task_id", "provider", "listed", "listed_at_ms"})
        )

    def test_a_table_may_have_none(self) -> None:
        assert indexes_of(table_definition("SubscriptionsTable")) == ()


class TestReads:
    @pytest.mark.parametrize(
        ("sizes", "consistent", "units"),
        [
            ([], False, 0.5),
            ([], True, 1),
            ([4096], True, 1),
            ([4097], True, 2),
            ([4097], False, 1),
            ([100] * 40, False, 0.5),
            ([100] * 41, False, 1),
        ],
    )
    def test_a_read_costs_by_all_that_it_returns_and_half_where_it_may_be_stale(
        self, sizes: list[int], consistent: bool, units: float
    ) -> None:
        assert read_units(map(text, sizes), consistent=consistent) == units

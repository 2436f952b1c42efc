import pytest
from tests.support.aws import Faulty, client, create_table, fault, items, put
from tests.support.tasks import NOW_MS

from tunehook.aws.leases import RENEW_EVERY_MS, Leases, Position

# As documented, and not imported: a bound that moves is to be noticed.
LEASE_MS = 12_000
RETIRE_AFTER_MS = 3_600_000
START_AGAIN_AFTER_MS = 10_000
LATEST_MS = 253_402_300_799_999

NAME = "PollerLeasesTable"


@pytest.fixture
def leases(aws: None) -> Leases:
    create_table(NAME)
    return Leases(client("dynamodb"), NAME)


def owner() -> str:
    (item,) = items(NAME)
    return str(item["owner"])


def test_without_an_item_there_is_no_live_lease_be_the_time_what_it_may(leases: Leases) -> None:
    assert not leases.is_live(0, 0)
    assert not leases.take_over(0, "a", 0)


def test_a_lease_lives_until_its_time_is_over(leases: Leases) -> None:
    assert leases.take_if_free(0, "a", NOW_MS)
    assert leases.is_live(0, NOW_MS + LEASE_MS - 1)
    assert not leases.is_live(0, NOW_MS + LEASE_MS)


def test_a_free_lease_is_taken_by_one(leases: Leases) -> None:
    assert leases.take_if_free(0, "a", NOW_MS)
    assert not leases.take_if_free(0, "b", NOW_MS + LEASE_MS - 1)
    assert owner() == "a"


def test_a_lease_that_has_run_out_is_free(leases: Leases) -> None:
    leases.take_if_free(0, "a", NOW_MS)
    assert leases.take_if_free(0, "b", NOW_MS + LEASE_MS)


def test_taking_over_says_whether_a_poller_held_it(leases: Leases) -> None:
    assert not leases.take_over(0, "a", NOW_MS)
    assert leases.take_over(0, "b", NOW_MS + 1)
    assert not leases.take_over(0, "c", NOW_MS + 1 + LEASE_MS)
    assert owner() == "c"


def test_the_owner_renews(leases: Leases) -> None:
    leases.take_if_free(0, "a", NOW_MS)
    assert leases.renew(0, "a", NOW_MS + RENEW_EVERY_MS)
    assert leases.is_live(0, NOW_MS + RENEW_EVERY_MS + LEASE_MS - 1)


def test_whoever_was_taken_over_neither_renews_nor_gives_up(leases: Leases) -> None:
    leases.take_if_free(0, "a", NOW_MS)
    leases.take_over(0, "b", NOW_MS)
    assert not leases.renew(0, "a", NOW_MS)
    assert not leases.give_up(0, "a", NOW_MS)
    assert leases.is_live(0, NOW_MS)
    assert owner() == "b"


def test_a_lease_that_was_given_up_is_free_at_once(leases: Leases) -> None:
    leases.take_if_free(0, "a", NOW_MS)
    assert leases.give_up(0, "a", NOW_MS)
    assert not leases.is_live(0, NOW_MS)
    assert leases.take_if_free(0, "b", NOW_MS)


def test_shards_have_leases_of_their_own(leases: Leases) -> None:
    leases.take_if_free(0, "a", NOW_MS)
    assert leases.take_if_free(1, "b", NOW_MS)


def test_a_poller_has_more_than_one_try_to_renew_before_its_lease_is_over() -> None:
    assert 2 * RENEW_EVERY_MS < LEASE_MS


def test_a_fault_is_no_answer(leases: Leases) -> None:
    faulty = Leases(Faulty(client("dynamodb"), update_item=[fault()]), NAME)
    with pytest.raises(type(fault())):
        faulty.renew(0, "a", NOW_MS)


def test_a_registered_shard_is_known_and_its_lease_is_free(leases: Leases) -> None:
    leases.register(3, NOW_MS)
    assert leases.shards() == {3}
    assert not leases.is_live(3, NOW_MS)
    assert leases.take_if_free(3, "a", NOW_MS)


def test_to_register_a_shard_again_leaves_its_lease_alone(leases: Leases) -> None:
    leases.take_if_free(0, "a", NOW_MS)
    leases.register(0, NOW_MS)
    assert (owner(), leases.is_live(0, NOW_MS)) == ("a", True)


def test_a_shard_that_was_used_lately_is_not_retired(leases: Leases) -> None:
    leases.take_if_free(3, "a", NOW_MS)
    leases.give_up(3, "a", NOW_MS)
    assert not leases.retire(3, NOW_MS + RETIRE_AFTER_MS - 10_000)
    assert leases.shards() == {3}


def test_a_shard_that_was_not_used_for_long_is_retired(leases: Leases) -> None:
    leases.register(3, NOW_MS)
    assert leases.retire(3, NOW_MS + RETIRE_AFTER_MS)
    assert leases.shards() == set()


def test_every_page_of_shards_is_read(leases: Leases) -> None:
    pages = [{"Items": [{"shard": {"N": str(number)}}]} for number in range(3)]

    class Paged:
        def get_paginator(self, operation: str) -> "Paged":
            assert operation == "scan"
            return self

        def paginate(self, **request: object) -> list[dict[str, object]]:
            return pages  # type: ignore[return-value]

    assert Leases(Paged(), NAME).shards() == {0, 1, 2}  # type: ignore[arg-type]


def test_of_many_starters_one_gets_the_start(leases: Leases) -> None:
    leases.register(0, NOW_MS)
    assert leases.begin_start(0, "a", NOW_MS)
    assert not leases.begin_start(0, "b", NOW_MS)
    assert not leases.begin_start(0, "c", NOW_MS + START_AGAIN_AFTER_MS - 1)
    assert leases.begin_start(0, "d", NOW_MS + START_AGAIN_AFTER_MS)


def test_a_start_that_was_claimed_is_known_as_ones_own(leases: Leases) -> None:
    assert leases.begin_start(0, "a", NOW_MS)
    assert leases.begin_start(0, "a", NOW_MS)


def test_the_start_of_a_shard_that_was_retired_makes_it_known_again(leases: Leases) -> None:
    assert leases.begin_start(0, "a", NOW_MS)
    assert owner() == "nobody"
    assert not leases.is_live(0, NOW_MS)
    assert leases.retire(0, NOW_MS + RETIRE_AFTER_MS)


def test_a_start_that_was_undone_is_anybodys(leases: Leases) -> None:
    leases.begin_start(0, "a", NOW_MS)
    assert not leases.undo_start(0, "b")
    assert leases.undo_start(0, "a")
    assert leases.begin_start(0, "b", NOW_MS)


def test_a_poller_that_has_taken_the_lease_and_let_it_go_was_started(leases: Leases) -> None:
    leases.begin_start(0, "a", NOW_MS)
    leases.take_if_free(0, "poller", NOW_MS + 500)
    assert not leases.begin_start(0, "b", NOW_MS + 600)
    leases.give_up(0, "poller", NOW_MS + 2_000)
    assert leases.begin_start(0, "b", NOW_MS + 2_100)


def test_with_whom_to_go_on_is_left_to_the_next_poller(leases: Leases) -> None:
    assert leases.handover(0).positions == {}
    leases.take_if_free(0, "a", NOW_MS)
    place = Position(NOW_MS, "task-1")
    assert leases.save_positions(0, "a", {"gw": place})
    leases.take_over(0, "b", NOW_MS)
    assert leases.handover(0).positions == {"gw": place}
    assert not leases.save_positions(0, "a", {})
    assert leases.save_positions(0, "b", {})
    assert leases.handover(0).positions == {}


def test_until_when_the_lease_was_held_before_is_known_to_who_took_it_over(leases: Leases) -> None:
    assert leases.handover(0).until_ms == 0
    leases.take_over(0, "a", NOW_MS)
    assert leases.handover(0).until_ms == 0
    leases.give_up(0, "a", NOW_MS + 5_000)
    leases.take_over(0, "b", NOW_MS + 60_000)
    assert NOW_MS < leases.handover(0).until_ms <= NOW_MS + 5_000


@pytest.mark.parametrize(
    "noted", ["x", {"gw": 1}, {"gw": {"since_ms": "x", "task_id": "t"}}, {"gw": {"since_ms": 1}}]
)
def test_what_tunehook_cannot_have_noted_says_nothing(leases: Leases, noted: object) -> None:
    put(NAME, {"shard": 0, "behind": noted})
    assert leases.handover(0).positions == {}


@pytest.mark.parametrize(
    ("ms", "is_a_moment"), [(-1, False), (0, True), (LATEST_MS, True), (LATEST_MS + 1, False)]
)
def test_moments_are_read_up_to_the_last_that_can_be_written(
    leases: Leases, ms: int, is_a_moment: bool
) -> None:
    put(NAME, {"shard": 0, "was_until_ms": ms, "behind": {"gw": {"since_ms": ms, "task_id": "t"}}})
    read = ({"gw": Position(ms, "t")}, ms) if is_a_moment else ({}, 0)
    assert (leases.handover(0).positions, leases.handover(0).until_ms) == read


def test_a_shard_that_is_made_known_is_free_since_a_second(leases: Leases) -> None:
    leases.register(3, NOW_MS)
    (item,) = items("PollerLeasesTable")
    assert item == {"shard": 3, "owner": "nobody", "until_ms": NOW_MS - 1_000}
    leases.take_over(3, "a", NOW_MS)
    assert leases.give_up(3, "a", NOW_MS)
    (item,) = items("PollerLeasesTable")
    assert (item["owner"], item["until_ms"]) == ("a", NOW_MS - 1_000)


def test_a_shard_that_is_gone_is_retired_and_one_that_was_used_just_an_hour_ago_is_not(
    leases: Leases,
) -> None:
    assert leases.retire(3, NOW_MS)
    leases.register(3, NOW_MS)
    assert not leases.retire(3, NOW_MS - 1_000 + RETIRE_AFTER_MS)
    assert leases.retire(3, NOW_MS - 1_000 + RETIRE_AFTER_MS + 1)


class TestNotingAStart:
    MISSED_AFTER_MS = 90_000

    def note(self, leases: Leases, now_ms: int) -> bool:
        return leases.note_start(0, now_ms, self.MISSED_AFTER_MS)

    def test_a_free_lease_stays_free_and_whose_it_was(self, leases: Leases) -> None:
        leases.take_if_free(0, "a", NOW_MS)
        leases.give_up(0, "a", NOW_MS)
        assert self.note(leases, NOW_MS + 60_000)
        assert self.note(leases, NOW_MS + 120_000)
        assert owner() == "a"
        assert not leases.is_live(0, NOW_MS + 120_000)
        assert leases.take_if_free(0, "b", NOW_MS + 120_000)

    def test_nothing_is_noted_where_a_poller_holds_it(self, leases: Leases) -> None:
        leases.take_if_free(0, "a", NOW_MS)
        assert not self.note(leases, NOW_MS + LEASE_MS - 1)
        assert leases.is_live(0, NOW_MS + LEASE_MS - 1)

    def test_nor_where_a_start_was_missed_or_there_was_none(self, leases: Leases) -> None:
        assert not self.note(leases, NOW_MS)
        assert items(NAME) == []
        leases.take_if_free(0, "a", NOW_MS)
        before = items(NAME)
        assert not self.note(leases, NOW_MS + LEASE_MS + self.MISSED_AFTER_MS + 1)
        assert items(NAME) == before

    def test_nor_where_there_is_a_task_to_go_on_with(self, leases: Leases) -> None:
        leases.take_if_free(0, "a", NOW_MS)
        leases.save_positions(0, "a", {"gw": Position(1, "t1")})
        leases.give_up(0, "a", NOW_MS)
        assert not self.note(leases, NOW_MS + 60_000)
        leases.save_positions(0, "a", {})
        assert self.note(leases, NOW_MS + 60_000)

    def test_a_poller_that_was_late_with_its_renewal_keeps_it(self, leases: Leases) -> None:
        leases.take_if_free(0, "a", NOW_MS)
        assert self.note(leases, NOW_MS + LEASE_MS + 1)
        assert leases.renew(0, "a", NOW_MS + LEASE_MS + 2)

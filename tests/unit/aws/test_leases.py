import pytest
from tests.support.aws import Faulty, client, create_table, fault, items
from tests.support.tasks import NOW_MS

from tunehook.aws.leases import LEASE_MS, RENEW_EVERY_MS, RETIRE_AFTER_MS, Leases

NAME = "PollerLeasesTable"


@pytest.fixture
def leases(aws: None) -> Leases:
    create_table(NAME)
    return Leases(client("dynamodb"), NAME)


def owner() -> str:
    (item,) = items(NAME)
    return str(item["owner"])


def test_without_an_item_there_is_no_live_lease(leases: Leases) -> None:
    assert not leases.is_live(0, NOW_MS)


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

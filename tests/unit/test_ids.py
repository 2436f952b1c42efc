from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tunehook.ids import digest, shard_of

TEXTS = st.lists(st.text(), max_size=3).map(tuple)


@given(TEXTS, TEXTS)
def test_digests_are_equal_for_equal_parts_alone(some: tuple[str, ...], others: tuple[str, ...]) -> None:
    assert (digest(*some) == digest(*others)) == (some == others)


def test_parts_are_kept_apart() -> None:
    assert digest("a", "bc") != digest("ab", "c") != digest("abc")


def test_a_digest_is_32_hexadecimal_digits_for_ever_the_same() -> None:
    assert digest("suno", "歌-1") == "7e5afafeba48b480f0b23892d7916a01"


def test_a_lone_surrogate_has_a_digest() -> None:
    assert len(digest("\ud800")) == 32


def test_one_shard_takes_every_task() -> None:
    assert {shard_of(f"task-{number}", 1) for number in range(20)} == {0}


def test_shards_get_about_the_same_share() -> None:
    counts = Counter(shard_of(f"task-{number}", 8) for number in range(4000))
    assert sorted(counts) == list(range(8))
    assert all(400 < count < 600 for count in counts.values())


def test_a_task_stays_in_its_shard_for_ever() -> None:
    assert [shard_of(f"task-{number}", 1000) for number in range(4)] == [772, 390, 267, 240]

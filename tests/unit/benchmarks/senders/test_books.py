import pytest
from benchmarks.senders.books import Books, event_id_in, new_event_id, percentile_ms, uuid_of


def test_an_event_is_found_in_whatever_is_wrapped_around_it() -> None:
    event_id = new_event_id()
    assert event_id_in(b'{"data":{"task_id":"' + event_id.encode() + b'","x":1}}') == event_id
    assert event_id_in(b"senders-1") is None
    assert event_id == f"senders-{uuid_of(event_id)}"


def test_ids_differ() -> None:
    assert len({new_event_id() for _ in range(100)}) == 100


def test_what_was_accepted_and_did_not_arrive_is_lost() -> None:
    books = Books(accepted={"a": 1.0, "b": 2.0, "c": 3.0}, refused={"r"})
    books.arrive("a", "one", 1.5)
    books.arrive("r", "one", 1.5)
    assert books.lost() == ["b", "c"]
    assert books.lost({"a", "c", "never handed over"}) == ["c"]


def test_what_arrived_twice_is_repeated_once_however_often() -> None:
    books = Books(accepted={"a": 1.0, "b": 2.0})
    assert [books.arrive("a", "one", 1.5), books.arrive("a", "one", 1.6), books.arrive("a", "one", 9.0)] == [
        1,
        2,
        3,
    ]
    books.arrive("b", "one", 2.5)
    assert books.repeated == 1


def test_what_was_refused_is_neither_lost_nor_repeated() -> None:
    books = Books(refused={"r"})
    books.arrive("r", "one", 1.0)
    books.arrive("r", "one", 2.0)
    assert (books.lost(), books.repeated) == ([], 0)


def test_a_delay_is_from_accepted_to_the_first_arrival() -> None:
    books = Books(accepted={"a": 1.0, "b": 2.0, "lost": 3.0})
    books.arrive("a", "one", 1.25)
    books.arrive("a", "one", 7.0)
    books.arrive("b", "one", 1.9)
    assert books.delays_s() == [0.25, 0.0]
    assert books.delays_s(["b", "lost", "unknown"]) == [0.0]


def test_a_rate_is_from_the_beginning_to_the_last_event() -> None:
    books = Books(accepted=dict.fromkeys("abcd", 0.0))
    for event_id, at_s in (("a", 10.5), ("b", 11.0), ("c", 12.0), ("a", 90.0)):
        books.arrive(event_id, "one", at_s)
    assert books.rate(10.0) == pytest.approx(1.5)


def test_there_is_no_rate_of_nothing() -> None:
    assert Books(accepted={"a": 0.0}).rate(0.0) is None


def test_a_gap_is_between_the_first_two_requests() -> None:
    books = Books()
    assert books.gap_s("a") is None
    books.arrive("a", "one", 1.0)
    assert books.gap_s("a") is None
    books.arrive("a", "one", 31.5)
    books.arrive("a", "one", 99.0)
    assert books.gap_s("a") == 30.5


def test_percentiles_are_in_milliseconds() -> None:
    delays_s = [number / 1000 for number in range(101)]
    assert percentile_ms(delays_s, 50) == pytest.approx(50)
    assert percentile_ms(delays_s, 99) == pytest.approx(99)
    assert percentile_ms([0.1], 50) is None

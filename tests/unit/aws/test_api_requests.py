import json
import random
import zlib
from typing import Any

import pytest
from tests.support.aws import Faulty, client, create_table, items

from tunehook.aws.api_requests import (
    Answer,
    ApiRequests,
    Request,
    State,
    WaitingPlace,
    body_digest,
    idempotent_id,
)
from tunehook.aws.tasks import TasksTable

NAME = "ApiRequestsTable"
NOW_MS = 1_800_000_000_000
DAY_MS = 24 * 3600 * 1000
ANSWER = Answer(201, {"task": {"task_id": "Lied für zwei"}})


@pytest.fixture
def table(aws: None) -> ApiRequests:
    create_table(NAME)
    return ApiRequests(client("dynamodb"), NAME)


def begin(table: ApiRequests, now_ms: int = NOW_MS, body: str = "body", **options: Any) -> Request:
    return table.begin("r", body, now_ms, **options)


class TestIdempotency:
    def test_a_new_request_is_the_callers(self, table: ApiRequests) -> None:
        begun = begin(table)
        assert (begun.state, begun.is_ours) == (State.BEGUN, True)

    def test_the_same_request_gets_the_answer_for_a_day(self, table: ApiRequests) -> None:
        assert table.finish(begin(table), ANSWER)
        again = begin(table, NOW_MS + DAY_MS - 1_000)
        assert (again.state, again.answer, again.is_ours) == (State.FINISHED, ANSWER, False)

    def test_after_a_day_it_is_new_whether_or_not_its_item_is_gone(self, table: ApiRequests) -> None:
        table.finish(begin(table, intended={"task": 1}), ANSWER)
        again = begin(table, NOW_MS + DAY_MS, body="another")
        assert again.state is State.BEGUN
        (item,) = items(NAME)
        assert item.keys() == {"request_id", "state", "body", "holder", "begun_at_ms", "expires_at"}
        assert item["expires_at"] == (NOW_MS + 2 * DAY_MS) // 1000

    @pytest.mark.parametrize("finished", [False, True])
    def test_another_body_is_told(self, table: ApiRequests, finished: bool) -> None:
        begun = begin(table)
        if finished:
            table.finish(begun, ANSWER)
        again = begin(table, NOW_MS + 61_000, body="another")
        assert (again.state, again.answer) == (State.OTHER_BODY, None)

    def test_within_a_minute_it_is_in_progress(self, table: ApiRequests) -> None:
        begin(table)
        assert begin(table, NOW_MS + 59_999).state is State.IN_PROGRESS

    def test_later_one_of_those_that_repeat_it_takes_it_over(self, table: ApiRequests) -> None:
        first = begin(table, intended={"task_id": "t"})
        second = begin(table, NOW_MS + 60_000)
        assert (second.state, second.is_ours, second.intended) == (State.TAKEN_OVER, True, {"task_id": "t"})
        assert begin(table, NOW_MS + 60_001).state is State.IN_PROGRESS
        assert not table.finish(first, Answer(500, {}))
        assert table.finish(second, ANSWER)
        assert not table.finish(first, ANSWER)
        assert begin(table, NOW_MS + 60_002).answer == ANSWER

    def test_of_two_at_once_one_takes_it_over(self, table: ApiRequests) -> None:
        begin(table)
        other = ApiRequests(client("dynamodb"), NAME)

        class Overtaken(Faulty):
            """The other worker is faster between the first write and the second."""

            writes = 0

            def __getattr__(self, name: str) -> Any:
                if name == "update_item":
                    self.writes += 1
                    if self.writes == 2:
                        assert begin(other, NOW_MS + 60_000).state is State.TAKEN_OVER
                return super().__getattr__(name)

        slow = ApiRequests(Overtaken(client("dynamodb")), NAME)
        assert begin(slow, NOW_MS + 60_000).state is State.IN_PROGRESS

    def test_what_must_not_be_done_twice_is_never_taken_over(self, table: ApiRequests) -> None:
        begin(table, intended={"provider": "suno"})
        again = begin(table, NOW_MS + DAY_MS // 2, takes_over=False)
        assert (again.state, again.is_ours) == (State.UNANSWERED, False)
        assert again.intended == {"provider": "suno"}

    def test_a_request_that_came_to_nothing_can_be_sent_again(self, table: ApiRequests) -> None:
        assert table.forget(begin(table))
        assert begin(table, body="another").state is State.BEGUN

    def test_another_answer_of_the_same_worker_is_not_its_own_write_again(self, table: ApiRequests) -> None:
        begun = begin(table)
        assert table.finish(begun, ANSWER)
        assert not table.finish(begun, Answer(500, {}))
        assert begin(table).answer == ANSWER

    def test_one_that_was_answered_is_not_forgotten(self, table: ApiRequests) -> None:
        begun = begin(table)
        table.finish(begun, ANSWER)
        assert not table.forget(begun)
        assert begin(table).answer == ANSWER

    def test_a_secret_of_an_answer_does_not_rest_in_the_table(self, table: ApiRequests) -> None:
        whole = {"subscription_id": "s", "signing_secret": "whsec_abc"}
        table.finish(begin(table), Answer(201, whole, omitted=("signing_secret",)))
        assert begin(table).answer == Answer(201, {"subscription_id": "s"}, ("signing_secret",))

    def test_a_long_answer_is_kept_compressed(self, table: ApiRequests) -> None:
        document = {"clips": ["the same verse"] * 30_000}
        table.finish(begin(table), Answer(200, document))
        assert len(items(NAME)[0]["document"]) < 10_000
        assert begin(table).answer == Answer(200, document)

    def test_of_one_that_no_item_holds_the_status_is_kept(self, table: ApiRequests) -> None:
        noise = random.Random(1).randbytes(400_000).hex()
        table.finish(begin(table), Answer(200, {"noise": noise}))
        assert begin(table).answer == Answer(200, None)

    @pytest.mark.parametrize(("length", "is_kept"), [(300_000, True), (300_001, False)])
    def test_of_one_that_is_longer_than_300_kb_too(
        self, table: ApiRequests, monkeypatch: pytest.MonkeyPatch, length: int, is_kept: bool
    ) -> None:
        monkeypatch.setattr(zlib, "compress", lambda _: b"x" * length)
        table.finish(begin(table), ANSWER)
        assert ("document" in items(NAME)[0]) is is_kept

    def test_an_answer_may_have_no_document(self, table: ApiRequests) -> None:
        table.finish(begin(table), Answer(204, None))
        assert begin(table).answer == Answer(204, None)

    def test_a_task_is_put_together_with_the_answer(self, table: ApiRequests) -> None:
        create_table("TasksTable")
        tasks = TasksTable(client("dynamodb"), "TasksTable")
        item = {"task_id": "t", "provider": "suno"}
        assert table.finish_with_task(begin(table), ANSWER, tasks, item).done
        assert items("TasksTable") == [item]
        assert begin(table).answer == ANSWER

    def test_of_one_that_was_taken_over_no_task_is_put_and_no_other_answer(self, table: ApiRequests) -> None:
        create_table("TasksTable")
        tasks = TasksTable(client("dynamodb"), "TasksTable")
        first, second = begin(table), begin(table, NOW_MS + 60_000)
        assert table.finish(second, ANSWER)
        late = table.finish_with_task(first, ANSWER, tasks, {"task_id": "t", "provider": "suno"})
        other = table.finish_with_task(second, Answer(500, {}), tasks, {"task_id": "t", "provider": "suno"})
        assert (late.done, other.done, items("TasksTable")) == (False, False, [])


def test_an_id_is_of_one_key_route_and_idempotency_key() -> None:
    ids = {
        idempotent_id(*parts)
        for parts in (("k", "r", "i"), ("k2", "r", "i"), ("k", "r2", "i"), ("k", "r", "i2"))
    }
    assert len(ids) == 4
    assert idempotent_id("k", "r", "i") in ids
    assert "secret" not in idempotent_id("k", "r", "secret")


def test_the_digest_of_a_body_does_not_depend_on_the_order_of_its_attributes() -> None:
    one, other = '{"a": 1, "b": [1, 2]}', '{"b": [1, 2], "a": 1}'
    assert body_digest(json.loads(one)) == body_digest(json.loads(other))
    assert body_digest({"a": 1}) != body_digest({"a": "1"})


class TestWaiting:
    def claim(
        self, table: ApiRequests, holder: str, limit: int = 2, now_ms: int = NOW_MS
    ) -> WaitingPlace | None:
        return table.claim_wait(limit, holder, now_ms + 25_000, now_ms)

    def test_as_many_wait_as_there_are_places(self, table: ApiRequests) -> None:
        places = [self.claim(table, f"h{number}", limit=3) for number in range(5)]
        assert sorted(place.number for place in places if place) == [0, 1, 2]
        assert places[3:] == [None, None]
        assert len(items(NAME)) == 1

    def test_a_place_that_was_given_back_is_free(self, table: ApiRequests) -> None:
        first = self.claim(table, "a", limit=1)
        assert first is not None
        table.release_wait(first)
        assert self.claim(table, "b", limit=1) == WaitingPlace(0, "b")

    def test_the_place_of_one_that_died_is_free_after_its_time(self, table: ApiRequests) -> None:
        self.claim(table, "dead", limit=1)
        assert self.claim(table, "b", limit=1, now_ms=NOW_MS + 24_999) is None
        assert self.claim(table, "b", limit=1, now_ms=NOW_MS + 25_000) == WaitingPlace(0, "b")

    def test_who_comes_back_late_takes_nothing_from_the_next_one(self, table: ApiRequests) -> None:
        late = self.claim(table, "late", limit=1)
        assert late is not None
        self.claim(table, "b", limit=1, now_ms=NOW_MS + 25_000)
        table.release_wait(late)
        assert self.claim(table, "c", limit=1, now_ms=NOW_MS + 25_000) is None

    def test_where_the_limit_was_lowered_those_that_wait_count(self, table: ApiRequests) -> None:
        for number in range(3):
            self.claim(table, f"h{number}", limit=3)
        assert self.claim(table, "b", limit=2) is None

    def test_without_places_nothing_is_asked(self, aws: None) -> None:
        assert self.claim(ApiRequests(None, NAME), "a", limit=0) is None  # type: ignore[arg-type]

    def test_of_two_that_want_the_last_place_one_has_it(self, table: ApiRequests) -> None:
        other = ApiRequests(client("dynamodb"), NAME)

        class Overtaken(Faulty):
            """The other worker takes the place between the read and the write."""

            def __getattr__(self, name: str) -> Any:
                if name == "update_item":
                    TestWaiting().claim(other, "faster", limit=1)
                return super().__getattr__(name)

        slow = Overtaken(client("dynamodb"))
        assert self.claim(ApiRequests(slow, NAME), "slow", limit=1) is None
        assert [name for name, _ in slow.calls] == ["get_item", "update_item"]

    def test_where_others_are_faster_each_time_it_is_given_up_after_three(
        self, table: ApiRequests, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(random, "choice", min)

        class Overtaken(Faulty):
            """Another takes each place between the read and the write."""

            def __getattr__(self, name: str) -> Any:
                if name == "update_item":
                    assert TestWaiting().claim(table, f"faster {len(self.calls)}", limit=9)
                return super().__getattr__(name)

        slow = Overtaken(client("dynamodb"))
        assert self.claim(ApiRequests(slow, NAME), "slow", limit=9) is None
        assert [name for name, _ in slow.calls] == ["get_item", *["update_item"] * 3]

    def test_the_item_expires_a_day_after_the_last_one_has_waited(self, table: ApiRequests) -> None:
        self.claim(table, "a")
        assert items(NAME)[0]["expires_at"] == (NOW_MS + 25_000 + DAY_MS) // 1000

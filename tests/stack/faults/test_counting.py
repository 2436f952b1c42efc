"""What is counted is seen when it is there: books without a fault, and one thing broken in them at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.stack.faults.books import (
    Books,
    Checked,
    DeadLetter,
    Emitted,
    End,
    Progress,
    Receipt,
    Record,
    Refused,
    Replay,
    Serving,
    Tried,
    Trouble,
    Wanted,
    WantedFile,
)
from tests.stack.faults.breaking import Done, HitCall
from tests.stack.faults.ledger import COUNTED, Findings, Spread, count
from tests.stack.faults.plan import Moment

PUT_MS = 1_000_000
ENDED_MS = PUT_MS + 5_000
DETECTED_MS = ENDED_MS + 2_000
MADE_MS = DETECTED_MS + 1_000
TOLD_MS = MADE_MS + 500


def wanted(task_id: str, status: str = "completed", receivers: tuple[str, ...] = ("main",)) -> Wanted:
    files = (
        WantedFile("clip-1", "audio", (f"suno/{task_id}/audio", f"suno/{task_id}/audio-source")),
        WantedFile("clip-1", "cover", (f"suno/{task_id}/cover",)),
    )
    return Wanted(
        "suno",
        task_id,
        PUT_MS,
        status,
        frozenset(receivers),
        ENDED_MS,
        files if status == "completed" else (),
    )


TASKS = (wanted("one", receivers=("main", "hook")), wanted("two"), wanted("three", "failed"))


def key_of(task: Wanted, file: WantedFile) -> str:
    return f"results/{task.name}/{file.clip_id}/{file.type}"


def digest_of(file: WantedFile) -> str:
    return f"bytes of {file.paths[0]}"


def assets_of(task: Wanted) -> list[dict[str, Any]]:
    return [
        {
            "clip_id": file.clip_id,
            "type": file.type,
            "status": "archived",
            "key": key_of(task, file),
            "sha256": digest_of(file),
        }
        for file in task.files
    ]


def receipt_of(task: Wanted, receiver: str, at_ms: int = TOLD_MS, status: int | None = 204) -> Receipt:
    return Receipt(
        receiver=receiver,
        delivery_id=f"msg_{task.task_id}_{receiver}",
        task_id=task.task_id,
        at_ms=at_ms,
        status=status,
        answered_at_ms=None if status is None else at_ms + 5,
        told_status=task.status,
        told_files={key_of(task, file): digest_of(file) for file in task.files},
    )


def record_of(task: Wanted, receiver: str, *tried: Tried, status: str = "delivered") -> Record:
    attempts = tried or (Tried(TOLD_MS - 10, 20, 204),)
    return Record(f"msg_{task.task_id}_{receiver}", task.task_id, receiver, status, MADE_MS, attempts)


def ended(task: Wanted) -> dict[str, Any]:
    return {
        "status": task.status,
        "event_id": f"evt_{task.task_id}",
        "detected_at_ms": DETECTED_MS,
        "archived_at_ms": MADE_MS,
        "assets": assets_of(task),
    }


def emitted_of(task: Wanted) -> tuple[Emitted, Emitted]:
    kind = "TaskFailed" if task.status == "failed" else "TaskCompleted"
    return (
        Emitted(kind, f"evt_{task.task_id}", task.task_id),
        Emitted("TaskArchived", f"evt_{task.task_id}_archived", task.task_id),
    )


DISABLED = Trouble("msg_gone_watcher", "watcher", "subscription.disabled", "gone", is_accepted=True)


def faultless() -> Books:
    return Books(
        wanted=TASKS,
        items={task.name: ended(task) for task in TASKS},
        ends=frozenset(End(task.task_id, task.status, f"evt_{task.task_id}", DETECTED_MS) for task in TASKS),
        emitted=tuple(each for task in TASKS for each in emitted_of(task)),
        served=tuple(Serving(file.paths[0], digest_of(file)) for task in TASKS for file in task.files),
        objects={key_of(task, file): digest_of(file) for task in TASKS for file in task.files},
        manifests={task.name: {"assets": assets_of(task)} for task in TASKS},
        receipts=tuple(receipt_of(task, receiver) for task in TASKS for receiver in sorted(task.receivers)),
        records=tuple(record_of(task, receiver) for task in TASKS for receiver in sorted(task.receivers)),
        refused=(Refused("a hook at loopback", "the address is forbidden"),),
        gone=("gone",),
        disabled=("gone",),
        watchers=("watcher",),
        troubles=(DISABLED,),
    )


def without(books: Books, field: str, drop: Callable[[Any], bool]) -> Books:
    """Take out of a list what `drop` wants out; it must be there."""
    before = getattr(books, field)
    after = tuple(each for each in before if not drop(each))
    assert len(after) < len(before)
    return replace(books, **{field: after})


def with_item(books: Books, name: str, **changes: Any) -> Books:
    return replace(books, items={**books.items, name: {**books.items[name], **changes}})


def only_problem(findings: Findings, name: str) -> str:
    """Return the one problem of a count, after making sure that no other count has one."""
    assert [each.name for each in findings.missed] == [name]
    (problem,) = findings[name].problems
    return problem


def kill(at_ms: int, function: str = "webhooks") -> Done:
    return Done(Moment(0.0, "kill", function), at_ms, f"killed a worker of {function}")


def halt(at_ms: int, function: str = "webhooks") -> Done:
    return Done(Moment(0.0, "halt", function, 3.0), at_ms, f"halted a worker of {function}")


def hit(act: str, at_ms: int, about: str, operation: str = "UpdateItem") -> Done:
    call = HitCall(at_ms, "dynamodb", operation, (about,), "webhooks")
    return Done(Moment(0.0, act, f"dynamodb:{operation}", 10.0, 0.3), at_ms - 1_000, act, (call,))


def test_nothing_is_counted_where_there_is_no_fault() -> None:
    findings = count(faultless())

    assert findings.missed == ()
    assert [each.name for each in findings.counts] == [name for name, *_ in COUNTED]


def test_what_is_reported_of_a_run_without_faults() -> None:
    findings = count(faultless())

    assert (findings.tasks, findings.webhooks, findings.requests) == (3, 4, 4)
    assert (findings.twice, findings.dead) == ({}, {})
    assert findings.attempts == {1: 4}
    assert findings.detection == Spread(2.0, 2.0)
    assert findings.first_attempt == Spread(1.5, 1.5)
    assert findings.waiting == Spread(0.5, 0.5)


class TestTasksLost:
    def test_a_task_without_an_item(self) -> None:
        books = faultless()
        findings = count(
            replace(books, items={name: books.items[name] for name in ("suno/one", "suno/three")})
        )

        assert findings["tasks_lost"].problems == ("suno/two has no item",)

    @pytest.mark.parametrize("status", ["pending", None])
    def test_a_task_that_has_not_ended(self, status: str | None) -> None:
        problem = only_problem(count(with_item(faultless(), "suno/two", status=status)), "tasks_lost")

        assert problem.startswith("suno/two is still")

    def test_a_task_that_nobody_has_archived(self) -> None:
        problem = only_problem(count(with_item(faultless(), "suno/two", archived_at_ms=None)), "tasks_lost")

        assert problem.startswith("suno/two has ended")


class TestTasksEndedWrongly:
    @pytest.mark.parametrize("status", ["failed", "rejected"])
    def test_another_status_than_wanted(self, status: str) -> None:
        problem = only_problem(
            count(with_item(faultless(), "suno/two", status=status)), "tasks_ended_wrongly"
        )

        assert problem.startswith(f"suno/two is {status}, not completed")

    def test_two_event_ids_on_the_bus(self) -> None:
        books = faultless()
        books = replace(books, emitted=(*books.emitted, Emitted("TaskCompleted", "evt_other", "two")))

        assert only_problem(count(books), "tasks_ended_wrongly").startswith("suno/two has 2 ends on the bus")

    def test_an_event_that_comes_twice_is_no_second_end(self) -> None:
        books = faultless()

        assert count(replace(books, emitted=books.emitted * 2)).missed == ()

    def test_the_other_kind_of_event(self) -> None:
        books = without(faultless(), "emitted", lambda event: event.event_id == "evt_two")
        books = replace(books, emitted=(*books.emitted, Emitted("TaskFailed", "evt_two", "two")))

        assert "suno/two is on the bus as ['TaskFailed']" in count(books)["tasks_ended_wrongly"].problems

    def test_another_event_than_in_the_item(self) -> None:
        problem = only_problem(
            count(with_item(faultless(), "suno/two", event_id="evt_x")), "tasks_ended_wrongly"
        )

        assert problem == "suno/two has another event on the bus than in its item"

    def test_an_item_that_has_changed_its_end(self) -> None:
        books = faultless()
        books = replace(books, ends=books.ends | {End("two", "completed", "evt_two", DETECTED_MS + 9)})

        assert only_problem(count(books), "tasks_ended_wrongly").startswith("suno/two has changed its end")

    def test_a_webhook_that_tells_of_another_end(self) -> None:
        books = faultless()
        books = replace(
            books,
            receipts=tuple(
                replace(each, told_status="failed") if each.task_id == "two" else each
                for each in books.receipts
            ),
        )

        assert "msg_two_main at main, task two" in only_problem(count(books), "tasks_ended_wrongly")


@pytest.mark.parametrize("kind", ["TaskCompleted", "TaskArchived"])
def test_an_event_that_was_never_emitted_is_counted(kind: str) -> None:
    books = without(faultless(), "emitted", lambda event: (event.task_id, event.detail_type) == ("two", kind))

    assert only_problem(count(books), "events_missing") == f"suno/two has no {kind} on the bus"


def unavailable(books: Books, name: str, *, is_served: bool, was_served: bool) -> Books:
    """Let the audio of a task be missing everywhere."""
    lost = {"clip_id": "clip-1", "type": "audio", "status": "unavailable", "reason": "answered 503"}
    assets = [lost, *(each for each in books.items[name]["assets"] if each["type"] != "audio")]
    task = next(task for task in books.wanted if task.name == name)
    files = tuple(replace(file, is_served=is_served) if file.type == "audio" else file for file in task.files)
    path = f"{name}/audio"
    key = f"results/{name}/clip-1/audio"
    return replace(
        with_item(books, name, assets=assets),
        wanted=tuple(replace(each, files=files) if each.name == name else each for each in books.wanted),
        manifests={**books.manifests, name: {"assets": assets}},
        objects={each: digest for each, digest in books.objects.items() if each != key},
        served=tuple(each for each in books.served if was_served or each.path != path),
        receipts=tuple(
            replace(each, told_files={k: v for k, v in each.told_files.items() if k != key})
            for each in books.receipts
        ),
    )


class TestAssetsMissing:
    def test_a_file_that_was_served_whole(self) -> None:
        findings = count(unavailable(faultless(), "suno/two", is_served=False, was_served=True))

        assert [each.name for each in findings.missed] == ["assets_missing"]
        assert findings["assets_missing"].problems == (
            "suno/two: audio of clip-1 was served whole; by its item: answered 503",
            "suno/two: audio of clip-1 was served whole; by its manifest: answered 503",
        )

    def test_a_file_that_would_have_been_served(self) -> None:
        findings = count(unavailable(faultless(), "suno/two", is_served=True, was_served=False))

        assert [each.name for each in findings.missed] == ["assets_missing"]

    def test_a_file_that_its_host_never_serves_is_none(self) -> None:
        assert count(unavailable(faultless(), "suno/two", is_served=False, was_served=False)).missed == ()

    def test_what_else_was_served_is_no_matter(self) -> None:
        books = unavailable(faultless(), "suno/two", is_served=False, was_served=False)
        books = replace(books, served=(*books.served, Serving("suno/two/a.mp3", "other bytes")))

        assert count(books).missed == ()

    def test_a_file_that_only_the_item_knows(self) -> None:
        books = faultless()
        findings = count(replace(books, manifests={**books.manifests, "suno/two": {"assets": []}}))

        assert [each.name for each in findings.missed] == ["assets_missing"]
        assert findings["assets_missing"].problems[0].endswith("by its manifest: nothing")


class TestObjectsDiffer:
    def test_other_bytes_than_the_hosts(self) -> None:
        books = faultless()
        key = "results/suno/two/clip-1/audio"
        findings = count(replace(books, objects={**books.objects, key: "other bytes"}))

        assert [each.name for each in findings.missed] == ["objects_differ"]
        assert f"suno/two: {key} has other bytes than the host" in findings["objects_differ"].problems
        assert f"suno/two: {key} has other bytes than its item says" in findings["objects_differ"].problems
        assert (
            f"suno/two: {key} has other bytes than its manifest says" in findings["objects_differ"].problems
        )
        assert f"{key} has other bytes than a webhook says" in findings["objects_differ"].problems

    def test_another_of_its_links_is_as_good(self) -> None:
        books = faultless()
        served = (Serving("suno/two/audio-source", "bytes of suno/two/audio"),)
        served += tuple(each for each in books.served if each.path != "suno/two/audio")

        assert count(replace(books, served=served)).missed == ()

    def test_another_digest_in_the_item(self) -> None:
        assets = assets_of(TASKS[1])
        books = with_item(faultless(), "suno/two", assets=[{**assets[0], "sha256": "x"}, assets[1]])

        assert only_problem(count(books), "objects_differ").endswith("has other bytes than its item says")

    def test_another_digest_in_a_webhook(self) -> None:
        books = faultless()
        receipts = tuple(
            replace(each, told_files=dict.fromkeys(each.told_files, "x")) if each.task_id == "two" else each
            for each in books.receipts
        )

        assert len(count(replace(books, receipts=receipts))["objects_differ"].problems) == 2

    def test_an_object_that_only_a_webhook_knows(self) -> None:
        books = faultless()
        receipts = (replace(books.receipts[0], told_files={"results/gone": "x"}), *books.receipts[1:])
        problem = only_problem(count(replace(books, receipts=receipts)), "objects_differ")

        assert problem == "results/gone was told of, and is not there"


def retried(waited_ms: int, *, attempts: int = 2, waits_s: tuple[int, ...] = (2, 4)) -> Books:
    """Let a delivery to a receiver with a schedule of its own be refused, and made again so long after each end."""
    books = without(faultless(), "receipts", lambda each: each.task_id == "two")
    books = without(books, "records", lambda each: each.task_id == "two")
    tried, receipts, at_ms = [], [], TOLD_MS
    for number in range(1, attempts + 1):
        status = 204 if number == attempts else 500
        tried.append(Tried(at_ms - 2, 10, status, attempt=number))
        receipts.append(receipt_of(TASKS[1], "main", at_ms, status))
        at_ms += 5 + waited_ms
    return replace(
        books,
        receipts=(*books.receipts, *receipts),
        records=(*books.records, record_of(TASKS[1], "main", *tried)),
        schedules={"main": waits_s},
    )


class TestAttemptsEarly:
    def test_an_attempt_that_has_waited_is_counted_and_no_problem(self) -> None:
        findings = count(retried(2_000))

        assert (findings.missed, findings["attempts_early"].of) == ((), 1)

    def test_an_attempt_that_came_too_early(self) -> None:
        problem = only_problem(count(retried(1_500)), "attempts_early")

        assert problem == "msg_two_main to main, task two: attempt 2 after 1.500 s, not 2 s"

    def test_what_the_receiver_saw_counts_and_not_what_the_record_says(self) -> None:
        books = retried(1_500)
        record = books.records[-1]
        late = (record.attempts[0], replace(record.attempts[1], at_ms=record.attempts[1].at_ms - 200))
        books = replace(books, records=(*books.records[:-1], replace(record, attempts=late)))

        assert "after 1.500 s" in only_problem(count(books), "attempts_early")

    def test_an_attempt_that_no_receiver_saw_counts_by_its_record(self) -> None:
        tried = (Tried(TOLD_MS, 20, error="ConnectError"), Tried(TOLD_MS + 1_020, 20, error="ConnectError"))
        tried = (*tried, Tried(TOLD_MS + 9_000, 20, 204))
        tried = tuple(replace(each, attempt=number) for number, each in enumerate(tried, 1))
        books = retried(2_000, attempts=1)
        receipt = receipt_of(TASKS[1], "main", TOLD_MS + 9_010)
        books = replace(
            books,
            receipts=(*books.receipts[:-1], receipt),
            records=(*books.records[:-1], record_of(TASKS[1], "main", *tried)),
        )

        assert "attempt 2 after 1.000 s, not 2 s" in only_problem(count(books), "attempts_early")

    def test_a_receiver_that_answers_after_the_attempt_has_ended_makes_none_early(self) -> None:
        books = retried(2_000)
        *others, first, second = books.receipts
        first = replace(first, status=None, answered_at_ms=first.at_ms + 1_900)
        record = books.records[-1]
        timed_out = replace(record.attempts[0], status_code=None, error="ReadTimeout")
        record = replace(record, attempts=(timed_out, record.attempts[1]))
        books = replace(books, receipts=(*others, first, second), records=(*books.records[:-1], record))

        assert count(books).missed == ()

    def test_without_a_schedule_of_its_own_a_receiver_has_the_usual_one(self) -> None:
        books = replace(retried(2_000), schedules={})

        assert only_problem(count(books), "attempts_early").endswith("attempt 2 after 2.000 s, not 5 s")


class TestAttemptsBeyond:
    def test_as_many_as_the_schedule_has(self) -> None:
        assert count(retried(4_000, attempts=3)).missed == ()

    def test_one_more_than_the_schedule_has(self) -> None:
        problem = only_problem(count(retried(4_000, attempts=4)), "attempts_beyond")

        assert problem == "msg_two_main to main, task two: 4 attempts in run 1, where there may be 3"

    def test_a_number_beyond_the_schedule_of_which_some_are_not_recorded(self) -> None:
        books = retried(4_000, attempts=3)
        record = books.records[-1]
        last = replace(record.attempts[-1], attempt=4)
        books = replace(
            books, records=(*books.records[:-1], replace(record, attempts=(*record.attempts[:-1], last)))
        )

        assert only_problem(count(books), "attempts_beyond").endswith(
            "4 attempts in run 1, where there may be 3"
        )

    def test_each_run_has_the_whole_schedule(self) -> None:
        books = retried(4_000, attempts=3)
        record = books.records[-1]
        again = tuple(replace(each, run=2, at_ms=each.at_ms + 60_000) for each in record.attempts)
        receipts = [each for each in books.receipts if each.task_id == "two"]
        later = tuple(
            replace(each, at_ms=each.at_ms + 60_000, answered_at_ms=(each.answered_at_ms or 0) + 60_000)
            for each in receipts
        )
        books = replace(
            books,
            receipts=(*books.receipts, *later),
            records=(*books.records[:-1], replace(record, attempts=(*record.attempts, *again))),
        )

        assert count(books)["attempts_beyond"].problems == ()
        assert count(books)["attempts_early"].problems == ()


def limited(*arrived_ms: int, limit: float = 2, done: tuple[Done, ...] = ()) -> Books:
    """Let a receiver with a limit get a task's webhook at each moment, counted from the first."""
    books = faultless()
    tasks = tuple(wanted(f"limited-{number}", "failed", ()) for number in range(len(arrived_ms)))
    moments = [(task, TOLD_MS + at_ms) for task, at_ms in zip(tasks, arrived_ms, strict=True)]
    limited_tasks = tuple(replace(task, receivers=frozenset({"limited"})) for task in tasks)
    return replace(
        books,
        wanted=(*books.wanted, *limited_tasks),
        items={**books.items, **{task.name: ended(task) for task in tasks}},
        emitted=(*books.emitted, *(each for task in tasks for each in emitted_of(task))),
        receipts=(*books.receipts, *(receipt_of(task, "limited", at_ms) for task, at_ms in moments)),
        records=(
            *books.records,
            *(record_of(task, "limited", Tried(at_ms - 10, 20, 204)) for task, at_ms in moments),
        ),
        limits={"limited": limit},
        done=done,
    )


def with_record(books: Books, task_id: str, *tried: Tried) -> Books:
    """Let the record of a delivery to the limited receiver tell of these attempts."""
    records = [
        replace(each, attempts=tried) if (each.task_id, each.receiver) == (task_id, "limited") else each
        for each in books.records
    ]
    return replace(books, records=tuple(records))


class TestBeyondTheLimit:
    def test_as_many_as_a_limit_lets_begin(self) -> None:
        findings = count(limited(0, 0, 0, 500, 1_000, 1_500, 2_000))

        assert (findings.missed, findings["beyond_the_limit"].of) == ((), 7)

    def test_one_more_at_once(self) -> None:
        problem = only_problem(count(limited(0, 0, 0, 0)), "beyond_the_limit")

        assert problem.startswith("msg_limited-3_limited to limited, task limited-3: began at ")
        assert problem.endswith("where 2 a second leave 0.50 of an attempt")

    def test_one_more_in_the_middle_of_a_long_window(self) -> None:
        steady = [*range(0, 20_000, 500)]
        findings = count(limited(*steady, 10_001, 10_002, 10_003))

        assert [each.name for each in findings.missed] == ["beyond_the_limit"]

    def test_a_little_faster_all_the_time(self) -> None:
        findings = count(limited(*range(0, 20_000, 450)))

        assert [each.name for each in findings.missed] == ["beyond_the_limit"]

    def test_what_was_not_used_is_not_made_up_for(self) -> None:
        assert only_problem(count(limited(0, 60_000, 60_000, 60_000, 60_000)), "beyond_the_limit")

    def test_nobody_else_has_the_limit(self) -> None:
        assert count(replace(limited(0, 0, 0, 0), limits={"main": 2})).missed == ()

    def test_requests_that_come_together_though_their_attempts_did_not_begin_so(self) -> None:
        books = limited(0, 3_000, 3_000, 3_000, 3_000)
        for number in range(1, 5):
            tried = Tried(TOLD_MS + number * 600, 3_100 - number * 600, 204)
            books = with_record(books, f"limited-{number}", tried)

        assert count(books).missed == ()

    def test_attempts_that_no_receiver_saw_count(self) -> None:
        refused = [Tried(TOLD_MS + number, 5, error="ConnectError") for number in range(3)]
        books = with_record(limited(0), "limited-0", *refused, Tried(TOLD_MS + 2_000, 20, 204))
        (receipt,) = (each for each in books.receipts if each.receiver == "limited")
        came = replace(receipt, at_ms=TOLD_MS + 2_010, answered_at_ms=TOLD_MS + 2_015)
        books = replace(books, receipts=tuple(came if each is receipt else each for each in books.receipts))

        assert count(books)["beyond_the_limit"].of == 4
        more = with_record(books, "limited-0", Tried(TOLD_MS + 3, 5, error="ConnectError"), *refused)
        assert len(count(more)["beyond_the_limit"].problems) == 1

    @pytest.mark.parametrize(
        ("done", "problems"), [((), 1), ((kill(TOLD_MS + 5),), 1), ((halt(TOLD_MS),), 0)]
    )
    def test_requests_that_no_record_tells_of_count_unless_a_halt_may_have_held_them_up(
        self, done: tuple[Done, ...], problems: int
    ) -> None:
        books = limited(0, 0, 0, 0, done=done)
        for number in range(4):
            books = with_record(books, f"limited-{number}")

        assert len(count(books)["beyond_the_limit"].problems) == problems

    def test_a_request_that_was_sent_again_at_once_is_one_attempt(self) -> None:
        books = limited(0, 0, 0)
        dropped = replace(receipt_of(wanted("limited-0"), "limited", TOLD_MS - 5, None), told_files={})
        dropped = replace(dropped, told_status="failed")
        books = replace(books, receipts=(*books.receipts, dropped))

        findings = count(books)
        assert (findings.missed, findings["beyond_the_limit"].of) == ((), 3)


class TestDeliveriesLost:
    def test_a_webhook_that_never_came(self) -> None:
        books = without(faultless(), "receipts", lambda each: each.delivery_id == "msg_one_hook")
        findings = count(books)

        assert findings["deliveries_lost"].problems == (
            "suno/one never came to hook (msg_one_hook, delivered)",
        )

    def test_a_webhook_of_which_there_is_no_record(self) -> None:
        books = without(faultless(), "receipts", lambda each: each.delivery_id == "msg_one_hook")
        books = without(books, "records", lambda each: each.delivery_id == "msg_one_hook")

        assert only_problem(count(books), "deliveries_lost") == "suno/one never came to hook (no record)"

    def test_a_webhook_that_was_refused_each_time(self) -> None:
        books = without(faultless(), "receipts", lambda each: each.task_id == "two")
        books = without(books, "records", lambda each: each.task_id == "two")
        books = replace(
            books,
            receipts=(*books.receipts, receipt_of(TASKS[1], "main", status=500)),
            records=(
                *books.records,
                record_of(TASKS[1], "main", Tried(TOLD_MS - 10, 20, 500), status="failed"),
            ),
        )

        assert (
            only_problem(count(books), "deliveries_lost")
            == "suno/two never came to main (msg_two_main, failed)"
        )

    def test_a_webhook_that_is_still_pending_is_unfinished(self) -> None:
        books = without(faultless(), "receipts", lambda each: each.task_id == "two")
        books = without(books, "records", lambda each: each.task_id == "two")
        books = replace(
            books,
            receipts=(*books.receipts, receipt_of(TASKS[1], "main", status=500)),
            records=(
                *books.records,
                record_of(TASKS[1], "main", Tried(TOLD_MS - 10, 20, 500), status="pending"),
            ),
        )
        problem = only_problem(count(books), "deliveries_unfinished")

        assert problem == "msg_two_main to main, task two is still pending after 1 attempts"

    def test_a_webhook_that_was_accepted_and_is_recorded_otherwise_is_unfinished(self) -> None:
        books = without(faultless(), "records", lambda each: each.task_id == "two")
        books = replace(books, records=(*books.records, record_of(TASKS[1], "main", status="failed")))

        assert only_problem(count(books), "deliveries_unfinished").endswith("was accepted and is failed")


class TestDeliveriesUnasked:
    def test_a_webhook_at_somebody_else(self) -> None:
        books = faultless()
        stray = replace(receipt_of(TASKS[1], "hook"), delivery_id="msg_two_main", at_ms=TOLD_MS + 1)
        problems = count(replace(books, receipts=(*books.receipts, stray)))["deliveries_unasked"].problems

        assert problems == ("msg_two_main at hook, task two was for somebody else",)

    def test_a_delivery_to_whom_a_filter_excludes(self) -> None:
        books = faultless()
        (two, *_) = (each for each in books.wanted if each.task_id == "two")
        others = tuple(each for each in books.wanted if each.task_id != "two")
        wanted = (*others, replace(two, receivers=two.receivers - {"main"}))
        problems = count(replace(books, wanted=wanted))["deliveries_excluded"].problems

        assert problems == (f"{record_of(TASKS[1], 'main').name} was made, and main is not to be told of it",)

    def test_a_second_id_for_one_webhook(self) -> None:
        books = faultless()
        second = replace(receipt_of(TASKS[1], "main"), delivery_id="msg_second")
        books = replace(
            books,
            receipts=(*books.receipts, second),
            records=(*books.records, replace(record_of(TASKS[1], "main"), delivery_id="msg_second")),
        )
        problem = only_problem(count(books), "deliveries_unasked")

        assert problem == "task two came to main under 2 ids: ['msg_second', 'msg_two_main']"

    def test_a_webhook_without_a_record(self) -> None:
        books = without(faultless(), "records", lambda each: each.task_id == "two")

        assert (
            only_problem(count(books), "deliveries_unasked")
            == "msg_two_main at main, task two is of no record"
        )


class TestTheRest:
    """Of files that were waited for when the end was told."""

    def told(self, *, pending: bool, rest: bool) -> Books:
        first = replace(record_of(TASKS[1], "main"), says_pending=pending)
        then = replace(record_of(TASKS[1], "main"), delivery_id="msg_rest", is_rest=True)
        books = without(faultless(), "records", lambda each: each.task_id == "two")
        if not rest:
            return replace(books, records=(*books.records, first))
        receipt = replace(receipt_of(TASKS[1], "main"), delivery_id="msg_rest", is_rest=True)
        return replace(books, records=(*books.records, first, then), receipts=(*books.receipts, receipt))

    def test_whoever_was_told_pending_is_owed_it(self) -> None:
        assert count(self.told(pending=True, rest=True)).missed == ()
        problem = only_problem(count(self.told(pending=True, rest=False)), "deliveries_lost")
        assert problem == "task two was told to main while its files were waited for, and the rest never was"

    def test_nobody_else_is(self) -> None:
        problem = only_problem(count(self.told(pending=False, rest=True)), "deliveries_unasked")
        assert problem == "task two was told to main once more, who had been told of all files"


class TestOperationalEvents:
    """Who hears that a subscription was disabled."""

    def test_one_that_nobody_hears_of(self) -> None:
        problem = only_problem(count(replace(faultless(), troubles=())), "troubles_lost")

        assert problem == "watcher was never told that gone is disabled"

    def test_one_whose_webhook_was_never_accepted(self) -> None:
        books = replace(faultless(), troubles=(replace(DISABLED, is_accepted=False),))

        assert only_problem(count(books), "troubles_lost") == "watcher was never told that gone is disabled"

    def test_a_receiver_that_wants_no_more_and_is_not_disabled(self) -> None:
        problem = only_problem(count(replace(faultless(), disabled=())), "troubles_lost")

        assert problem == "gone is not disabled, although its receiver wants no more"

    def test_what_is_told_under_two_ids(self) -> None:
        books = replace(faultless(), troubles=(DISABLED, replace(DISABLED, delivery_id="msg_other")))

        assert only_problem(count(books), "troubles_twice").startswith(
            "watcher was told of subscription.disabled about gone under 2 ids"
        )

    def test_one_that_is_told_of_itself(self) -> None:
        itself = replace(DISABLED, delivery_id="msg_itself", receiver="gone", is_accepted=False)
        books = replace(faultless(), troubles=(DISABLED, itself))

        assert only_problem(count(books), "troubles_of_itself") == itself.name

    def test_a_wrong_signature(self) -> None:
        books = replace(faultless(), troubles=(replace(DISABLED, fault="signed by []"),))

        assert only_problem(count(books), "signatures_wrong").endswith("about gone: signed by []")

    def test_that_dead_letters_are_found_each_day_is_no_problem(self) -> None:
        found = Trouble("msg_1", "watcher", "dead_letters.found", "poller", is_accepted=True)
        books = replace(faultless(), troubles=(DISABLED, found, replace(found, delivery_id="msg_2")))

        assert count(books).missed == ()


def test_a_signature_that_does_not_verify_is_counted() -> None:
    books = faultless()
    receipts = (replace(books.receipts[0], fault="No matching signature found"), *books.receipts[1:])
    problem = only_problem(count(replace(books, receipts=receipts)), "signatures_wrong")

    assert problem == "msg_one_hook at hook, task one: No matching signature found"


def test_a_request_where_none_may_go_is_counted() -> None:
    books = replace(faultless(), trespasses=("POST /hook/one",))

    assert only_problem(count(books), "requests_forbidden") == "POST /hook/one"


def test_a_refusal_that_is_not_on_record_is_counted() -> None:
    books = replace(faultless(), refused=(Refused("https://127.0.0.1/ as a hook", ""),))

    assert only_problem(count(books), "refusals_missing").startswith("https://127.0.0.1/ as a hook")


def accepted_twice(*done: Done, tried: tuple[Tried, ...] | None = None, answer_ms: int = 5) -> Books:
    """Let a webhook be accepted once more 30 s later; by default the record has the later attempt alone."""
    books = without(faultless(), "receipts", lambda each: each.task_id == "two")
    books = without(books, "records", lambda each: each.task_id == "two")
    first = replace(receipt_of(TASKS[1], "main"), answered_at_ms=TOLD_MS + answer_ms)
    later = receipt_of(TASKS[1], "main", TOLD_MS + 30_000)
    attempts = (Tried(TOLD_MS + 29_990, 20, 204),) if tried is None else tried
    return replace(
        books,
        receipts=(*books.receipts, first, later),
        records=(*books.records, record_of(TASKS[1], "main", *attempts)),
        done=done,
    )


def halt(at_ms: int, function: str = "webhooks") -> Done:
    return Done(Moment(0.0, "halt", function, for_s=2.5), at_ms, f"halted a worker of {function}")


def restart(at_ms: int) -> Done:
    return Done(Moment(0.0, "restart", "aws", for_s=2.5), at_ms, "restarted")


class TestAcceptedTwice:
    def test_without_a_reason_it_is_counted(self) -> None:
        findings = count(accepted_twice())

        assert [each.name for each in findings.missed] == ["twice_unexplained", "attempts_differ"]
        (problem,) = findings["twice_unexplained"].problems
        assert problem == "msg_two_main at main, task two, 30.0 s after the first"
        assert findings.twice == {}

    @pytest.mark.parametrize(
        ("done", "why"),
        [
            (kill(TOLD_MS + 50), "kill of a webhooks worker"),
            (restart(TOLD_MS + 50), "restart of the embedded AWS"),
            (restart(TOLD_MS - 2_400), "restart of the embedded AWS"),
            (hit("fail", TOLD_MS + 50, "msg_two_main"), "fail of the record's UpdateItem"),
            (hit("drop", TOLD_MS + 50, "msg_two_main"), "drop of the record's UpdateItem"),
            (hit("throttle", TOLD_MS + 50, "msg_two_main"), "throttle of the record's UpdateItem"),
            (halt(TOLD_MS + 50), "halt of a webhooks worker"),
            (halt(TOLD_MS - 2_400), "halt of a webhooks worker"),
        ],
    )
    def test_what_befell_its_worker_or_its_record_explains_it(self, done: Done, why: str) -> None:
        findings = count(accepted_twice(done))

        assert findings.missed == ()
        assert findings.twice == {why: 1}

    @pytest.mark.parametrize(
        "done",
        [
            kill(TOLD_MS - 5_000),
            kill(TOLD_MS + 29_000),
            kill(TOLD_MS + 31_000),
            kill(TOLD_MS + 50, "fulfillment"),
            halt(TOLD_MS - 5_000),
            halt(TOLD_MS + 31_000),
            halt(TOLD_MS + 50, "fulfillment"),
            restart(TOLD_MS - 5_000),
            restart(TOLD_MS + 31_000),
            hit("fail", TOLD_MS + 50, "msg_one_main"),
            hit("fail", TOLD_MS + 50, "msg_two_main", "PutItem"),
            hit("fail", TOLD_MS - 5_000, "msg_two_main"),
            hit("fail", TOLD_MS + 31_000, "msg_two_main"),
        ],
    )
    def test_what_befell_others_or_came_at_another_time_explains_nothing(self, done: Done) -> None:
        assert [each.name for each in count(accepted_twice(done)).missed] == [
            "twice_unexplained",
            "attempts_differ",
        ]

    def test_nothing_explains_it_where_the_record_says_that_the_first_was_delivered(self) -> None:
        both = (Tried(TOLD_MS - 10, 20, 204), Tried(TOLD_MS + 29_990, 20, 204))
        findings = count(accepted_twice(kill(TOLD_MS + 50), tried=both))

        assert [each.name for each in findings.missed] == ["twice_unexplained"]

    def test_an_answer_slower_than_an_attempt_explains_it(self) -> None:
        attempts = (Tried(TOLD_MS - 10, 15_000, error="DeadlineExceeded"), Tried(TOLD_MS + 29_990, 20, 204))
        findings = count(accepted_twice(tried=attempts, answer_ms=15_100))

        assert findings.missed == ()
        assert findings.twice == {"answer slower than an attempt may take": 1}

    def test_an_answer_that_came_while_its_worker_was_halted_explains_it(self) -> None:
        attempts = (Tried(TOLD_MS - 10, 15_000, error="DeadlineExceeded"), Tried(TOLD_MS + 29_990, 20, 204))
        findings = count(accepted_twice(halt(TOLD_MS - 5), tried=attempts))

        assert findings.missed == ()
        assert findings.twice == {"halt of a webhooks worker": 1}

    def test_an_error_on_record_for_a_quick_answer_explains_nothing(self) -> None:
        attempts = (Tried(TOLD_MS - 10, 20, error="ReadError"), Tried(TOLD_MS + 29_990, 20, 204))

        assert [each.name for each in count(accepted_twice(tried=attempts)).missed] == ["twice_unexplained"]


class TestDeadLetters:
    @pytest.mark.parametrize("function", ["intake", "poller", "fulfillment", "webhooks"])
    def test_one_without_a_reason_is_counted(self, function: str) -> None:
        books = replace(faultless(), dead_letters=(DeadLetter(function, TOLD_MS, "about two"),))

        assert only_problem(count(books), "dead_unexplained") == f"a message of the {function}: about two"

    @pytest.mark.parametrize("function", ["intake", "poller"])
    def test_a_kill_of_its_function_explains_one(self, function: str) -> None:
        books = replace(
            faultless(),
            dead_letters=(DeadLetter(function, TOLD_MS, "about two"),),
            done=(kill(TOLD_MS - 100, function),),
        )
        findings = count(books)

        assert findings.missed == ()
        assert findings.dead == {f"kill of the {function}": 1}

    @pytest.mark.parametrize("done", [kill(TOLD_MS - 100, "intake"), kill(TOLD_MS + 100, "poller")])
    def test_a_kill_of_another_or_after_it_explains_none(self, done: Done) -> None:
        books = replace(faultless(), dead_letters=(DeadLetter("poller", TOLD_MS, "about two"),), done=(done,))

        assert [each.name for each in count(books).missed] == ["dead_unexplained"]

    @pytest.mark.parametrize("function", ["fulfillment", "webhooks"])
    def test_nothing_explains_those_of_the_queues(self, function: str) -> None:
        books = replace(
            faultless(),
            dead_letters=(DeadLetter(function, TOLD_MS, "about two"),),
            done=(kill(TOLD_MS - 100, function), hit("fail", TOLD_MS - 100, "msg_two_main")),
        )

        assert [each.name for each in count(books).missed] == ["dead_unexplained"]


class TestAttemptsDiffer:
    def test_an_attempt_that_no_receiver_saw(self) -> None:
        books = without(faultless(), "records", lambda each: each.task_id == "two")
        tried = (Tried(TOLD_MS - 9_000, 20, 500), Tried(TOLD_MS - 10, 20, 204))
        books = replace(books, records=(*books.records, record_of(TASKS[1], "main", *tried)))

        assert only_problem(count(books), "attempts_differ").endswith("answered 500 that no receiver saw")

    @pytest.mark.parametrize(
        "tried",
        [
            (Tried(TOLD_MS - 10, 60, 204),),
            (Tried(TOLD_MS - 10, 3_000, error="ClientOSError"), Tried(TOLD_MS + 7_990, 20, 204)),
        ],
        ids=["answered then", "answered by the next attempt"],
    )
    def test_what_is_sent_again_over_a_fresh_connection_is_one_attempt(
        self, tried: tuple[Tried, ...]
    ) -> None:
        books = without(faultless(), "receipts", lambda each: each.task_id == "two")
        books = without(books, "records", lambda each: each.task_id == "two")
        broken = receipt_of(TASKS[1], "main", status=None)
        again = receipt_of(
            TASKS[1], "main", TOLD_MS + (20 if len(tried) == 1 else 2_500), 204 if len(tried) == 1 else None
        )
        later = () if len(tried) == 1 else (receipt_of(TASKS[1], "main", TOLD_MS + 8_000),)
        books = replace(
            books,
            receipts=(*books.receipts, broken, again, *later),
            records=(*books.records, record_of(TASKS[1], "main", *tried)),
        )

        assert count(books).missed == ()

    def test_a_request_that_comes_again_later_is_another_attempt(self) -> None:
        books = without(faultless(), "receipts", lambda each: each.task_id == "two")
        broken = receipt_of(TASKS[1], "main", TOLD_MS - 5_000, status=None)
        books = replace(books, receipts=(*books.receipts, broken, receipt_of(TASKS[1], "main")))

        assert only_problem(count(books), "attempts_differ").endswith("answered None that no record tells of")

    def test_an_attempt_without_an_answer_need_not_have_been_seen(self) -> None:
        books = without(faultless(), "records", lambda each: each.task_id == "two")
        tried = (Tried(TOLD_MS - 9_000, 20, error="ConnectError"), Tried(TOLD_MS - 10, 20, 204))

        assert (
            count(replace(books, records=(*books.records, record_of(TASKS[1], "main", *tried)))).missed == ()
        )

    def test_another_answer_than_the_receivers(self) -> None:
        books = without(faultless(), "records", lambda each: each.task_id == "two")
        books = replace(
            books, records=(*books.records, record_of(TASKS[1], "main", Tried(TOLD_MS - 10, 20, 200)))
        )

        assert [each.name for each in count(books).missed] == ["attempts_differ"]

    def test_a_refused_request_of_which_nothing_is_recorded(self) -> None:
        books = faultless()
        refused = receipt_of(TASKS[1], "main", TOLD_MS - 6_000, 503)
        findings = count(replace(books, receipts=(refused, *books.receipts)))

        assert only_problem(findings, "attempts_differ").endswith("answered 503 that no record tells of")
        assert (
            count(
                replace(books, receipts=(refused, *books.receipts), done=(kill(refused.at_ms + 20),))
            ).missed
            == ()
        )

    def test_a_delivery_that_ended_well_by_a_refusal(self) -> None:
        books = without(faultless(), "receipts", lambda each: each.task_id == "two")
        books = without(books, "records", lambda each: each.task_id == "two")
        books = replace(
            books,
            receipts=(*books.receipts, receipt_of(TASKS[1], "main", status=500)),
            records=(*books.records, record_of(TASKS[1], "main", Tried(TOLD_MS - 10, 20, 500))),
        )

        assert any("not accepted" in problem for problem in count(books)["attempts_differ"].problems)


class TestReplays:
    def test_one_that_found_nothing(self) -> None:
        books = replace(faultless(), replays=(Replay("main", ()),))
        assert "main" in only_problem(count(books), "replays_idle")

    def test_one_that_left_something_out(self) -> None:
        books = replace(faultless(), replays=(Replay("main", ("msg_two_main",), ("msg_left",)),))
        assert "msg_left" in only_problem(count(books), "replays_incomplete")

    def test_one_that_asked_for_what_a_filter_excludes(self) -> None:
        books = replace(faultless(), replays=(Replay("hook", ("msg_one_hook", "msg_two_main")),))
        assert "msg_two_main" in only_problem(count(books), "replays_excluded")

    def test_one_that_asked_twice_for_what_was_made_once(self) -> None:
        books = replace(faultless(), replays=(Replay("main", ("msg_one_main",) * 2),))
        assert count(books).missed == ()
        assert count(books)["replays_excluded"].of == 1


def test_delays_count_from_the_putting_of_a_task_that_had_ended_before() -> None:
    books = faultless()
    early = tuple(replace(task, ended_at_ms=PUT_MS - 60_000) for task in books.wanted)

    assert count(replace(books, wanted=early)).detection == Spread(7.0, 7.0)


def test_a_delivery_is_counted_by_the_requests_that_it_took() -> None:
    assert count(accepted_twice(kill(TOLD_MS + 50))).attempts == {1: 3, 2: 1}


def test_books_that_were_written_count_as_they_did() -> None:
    books = without(faultless(), "records", lambda each: each.task_id == "two")
    again = Books.from_json(books.to_json())
    assert again == books
    assert count(again) == count(books)


def test_bytes_that_users_put_into_an_item_can_be_written() -> None:
    books = replace(faultless(), items={"suno/one": {"mine": b"\xff\xfe"}})
    assert Books.from_json(books.to_json()).items == {"suno/one": {"mine": "__4="}}


class TestChecks:
    """Checks of endpoints: one that passed, one that was refused, and one of which nothing is known."""

    @staticmethod
    def check(number: int, status: int | None, **changes: Any) -> Checked:
        passed = status == 204
        delivery_id, receiver = f"msg_check_{number}", "checked-well" if passed else "checked-badly"
        receipt = Receipt(receiver, delivery_id, "", TOLD_MS, status, TOLD_MS + 5)
        check = Checked(
            receiver,
            delivery_id,
            passed=passed,
            code="not_attempted" if status is None else str(status),
            status=status,
            is_enabled=passed,
            ended_as="aborted" if status is None else "failed",
            attempts=0 if status is None else 1,
            receipts=() if status is None else (receipt,),
        )
        return replace(check, **changes)

    def books(self, *more: Checked) -> Books:
        known = (self.check(number, status) for number, status in enumerate((204, 503, None)))
        return replace(faultless(), checks=(*known, *more))

    def test_nothing_is_wrong_with_them(self) -> None:
        findings = count(self.books())

        assert findings.missed == ()
        assert findings["checks_wrong"].of == 3
        # One whose worker died after its attempt is not known to have passed.
        reached = replace(self.check(9, None), receipts=self.check(9, 204).receipts)
        assert count(self.books(reached)).missed == ()

    @pytest.mark.parametrize(
        ("changes", "name", "problem"),
        [
            ({"receipts": ()}, "checks_wrong", "accepted nothing"),
            ({"is_enabled": False}, "checks_wrong", "not enabled afterwards"),
            ({"passed": False}, "checks_wrong", "enabled afterwards"),
            ({"ended_as": "pending"}, "checks_repeated", "its record is pending"),
            ({"ended_as": "no record"}, "checks_repeated", "its record is no record"),
            ({"attempts": 2}, "checks_repeated", "sent 2 times"),
        ],
    )
    def test_one_that_went_wrong(self, changes: dict[str, Any], name: str, problem: str) -> None:
        checked = self.check(9, 204)
        if "receipts" in changes:
            changes = changes | {"status": None}

        assert only_problem(count(self.books(replace(checked, **changes))), name).endswith(problem)

    def test_one_that_says_what_nobody_answered(self) -> None:
        checked = replace(self.check(9, 503), status=500)

        assert "500, which its receiver did not answer" in only_problem(
            count(self.books(checked)), "checks_wrong"
        )

    def test_one_that_came_twice_or_unsigned(self) -> None:
        checked = self.check(9, 503)
        (receipt,) = checked.receipts
        unsigned = replace(checked, receipts=(replace(receipt, fault="no signature"),))

        assert only_problem(
            count(self.books(replace(checked, receipts=(receipt, receipt)))), "checks_repeated"
        )
        assert only_problem(count(self.books(unsigned)), "checks_unsigned").endswith("no signature")

    def test_a_subscription_that_fails_by_them(self) -> None:
        books = replace(self.books(), failing=("checked-badly",))

        assert only_problem(count(books), "checks_counted")

    def test_books_with_them_come_back_from_json(self) -> None:
        books = self.books()

        assert Books.from_json(books.to_json()).checks == books.checks


class TestProgress:
    """What tells of progress: three times of one task, each 5 s after the other, and before its end is told."""

    @staticmethod
    def told(number: int, **changes: Any) -> Progress:
        at_ms = TOLD_MS - 20_000 + number * 5_000
        delivery_id = f"msg_progress_{number}"
        record = Record(
            delivery_id, "one", "to-progress", "delivered", at_ms - 50, (Tried(at_ms - 3, 8, 204),)
        )
        receipt = Receipt("to-progress", delivery_id, "one", at_ms, 204, at_ms + 5, told_status="progress")
        return replace(Progress(record, (receipt,)), **changes)

    def books(self, *more: Progress) -> Books:
        return replace(faultless(), progress=(*(self.told(number) for number in range(3)), *more))

    @staticmethod
    def moved(told: Progress, by_ms: int) -> Progress:
        (tried,) = told.record.attempts
        (receipt,) = told.receipts
        record = replace(told.record, attempts=(replace(tried, at_ms=tried.at_ms + by_ms),))
        return replace(told, record=record, receipts=(replace(receipt, at_ms=receipt.at_ms + by_ms),))

    @staticmethod
    def halt(at_ms: int, for_s: float = 3.0) -> Done:
        return Done(Moment(0.0, "halt", "webhooks", for_s), at_ms, "halted a worker of webhooks")

    def test_nothing_is_wrong_with_it(self) -> None:
        findings = count(self.books())

        assert findings.missed == ()
        assert (findings.progress, findings["progress_late"].of) == (3, 3)
        assert (findings.requests, findings.webhooks) == (4, 4)

    def test_what_is_overtaken_is_begun_by_nobody(self) -> None:
        unsent = self.told(9)
        overtaken = replace(unsent, record=replace(unsent.record, status="aborted", attempts=()), receipts=())

        assert count(self.books(overtaken)).missed == ()

    def test_one_that_is_begun_once_a_receiver_knows_the_end(self) -> None:
        books = self.books(self.told(7))

        assert "begun 14997 ms after" in only_problem(count(books), "progress_late")
        # One whose worker was halted had looked before.
        assert count(replace(books, done=(self.halt(TOLD_MS + 14_000),))).missed == ()

    def test_two_within_5_s(self) -> None:
        books = self.books(self.moved(self.told(3), -1_000))

        assert "begun 4000 ms after" in only_problem(count(books), "progress_close")
        assert count(replace(books, done=(self.halt(TOLD_MS - 9_000),))).missed == ()

    def test_one_that_is_sent_again(self) -> None:
        again = self.told(3)
        by_record = replace(again.record, attempts=again.record.attempts * 2)

        assert only_problem(
            count(self.books(replace(again, receipts=again.receipts * 2))), "progress_repeated"
        ).endswith("sent 2 times")
        assert only_problem(count(self.books(replace(again, record=by_record))), "progress_repeated")

    @pytest.mark.parametrize("status", ["no record", "pending"])
    def test_one_that_is_of_no_record_or_never_ends(self, status: str) -> None:
        told = self.told(3)
        books = self.books(replace(told, record=replace(told.record, status=status)))

        assert only_problem(count(books), "progress_unasked")

    def test_one_that_nobody_has_asked_for(self) -> None:
        problem = only_problem(count(self.books(self.told(3, is_asked=False))), "progress_unasked")

        assert problem.endswith("its receiver has not asked for it")

    def test_one_that_is_not_signed(self) -> None:
        told = self.told(3)
        (receipt,) = told.receipts
        books = self.books(replace(told, receipts=(replace(receipt, fault="no signature"),)))

        assert only_problem(count(books), "progress_unsigned").endswith("no signature")

    def test_books_with_it_come_back_from_json(self) -> None:
        books = self.books()

        assert Books.from_json(books.to_json()).progress == books.progress

from __future__ import annotations

from typing import Any

import pytest

from tunehook_local.sandbox import Kind, Scenario, parse
from tunehook_local.sandbox.books import Books

RULE = {"answers": [{"phase": "processing", "until_s": 8}, {"phase": "completed"}]}


@pytest.fixture
def books(clock: Any) -> Books:
    return Books(parse(Scenario, {"tasks": [RULE]}), clock)


def test_a_task_begins_when_it_is_first_asked_about(books: Books, clock: Any) -> None:
    first = clock()
    books.asked_about(Kind.SUNO, "a")
    clock.pass_s(3)
    books.asked_about(Kind.SUNO, "a")
    (book,) = books.task_books()
    assert book.first_seen_at == first
    assert book.asked_at == (first, clock())
    assert book.asked == 2


def test_a_task_ends_at_its_moment_whether_or_not_anyone_asks(books: Books, clock: Any) -> None:
    start = clock()
    books.create_task(Kind.SUNO, "a")
    clock.pass_s(7.9)
    assert (books.task_books()[0].ended_at, books.task_books()[0].outcome) == (None, None)
    clock.pass_s(60)
    (book,) = books.task_books()
    assert book.ended_at is not None
    assert (book.ended_at - start).total_seconds() == 8
    assert (book.outcome, book.asked) == ("completed", 0)


def test_a_task_whose_end_hangs_on_questions_ends_when_that_is_first_seen(clock: Any) -> None:
    rule = {"answers": [{"status": 429, "times": 1}, {"phase": "failed"}]}
    books = Books(parse(Scenario, {"tasks": [rule]}), clock)
    task = books.asked_about(Kind.SUNO, "a")
    task.answer(clock())
    assert books.task_books()[0].ended_at is None
    clock.pass_s(5)
    task.answer(clock())
    ended_at = clock()
    clock.pass_s(5)
    task.answer(clock())
    assert (books.task_books()[0].ended_at, books.task_books()[0].outcome) == (ended_at, "failed")


def test_an_older_task_is_further_on(books: Books, clock: Any) -> None:
    task = books.create_task(Kind.SUNO, "a", age_s=8)
    assert task.look(clock()).phase == "completed"


def test_tasks_of_the_same_id_at_two_providers_are_two_tasks(books: Books) -> None:
    books.asked_about(Kind.SUNO, "a")
    books.asked_about(Kind.QHAIGC, "a")
    assert [book.kind for book in books.task_books()] == ["suno", "qhaigc"]


def test_a_task_that_no_rule_knows_is_not_found(clock: Any) -> None:
    books = Books(Scenario(), clock)
    assert books.asked_about(Kind.SUNO, "a").look(clock()).phase == "not_found"


def test_a_reset_forgets_everything(books: Books, clock: Any) -> None:
    books.asked_about(Kind.SUNO, "a")
    books.count_query(Kind.SUNO, "one")
    books.reset()
    assert books.task_books() == []
    assert books.queries(Kind.SUNO, "one") == 0
    clock.pass_s(100)
    assert books.asked_about(Kind.SUNO, "a").look(clock()).phase == "processing"

"""JMESPath within its bounds."""

from __future__ import annotations

import json
from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunehook.providers.recipes.expressions import (
    MAX_ANSWER_STEPS,
    MAX_LENGTH,
    MAX_STEPS,
    Expression,
    NoValue,
    Steps,
)

TASK = {
    "status": "ok",
    "n": 3,
    "nothing": None,
    "songs": [{"id": "a", "url": "u"}, {"id": "b"}, {"id": None, "url": "v"}],
    "by_id": {"x": {"url": "1"}, "y": {"url": "2"}},
    "json": '{"a": [1, NaN, 1e999, "\\ud800"]}',
}
TEXT = "x" * 1_000_000


def value(text: str, given: Any = TASK) -> Any:
    return Expression(text).evaluate(given, Steps())


def named(parameter: Any) -> str:
    return str(parameter)[:60]


def because(text: str, given: Any = TASK) -> str:
    found = value(text, given)
    assert isinstance(found, NoValue)
    assert str(found) == f"no value, because {found.because}"
    return found.because


@pytest.mark.parametrize(
    "text",
    [
        *(
            "status",
            "@",
            "songs[0].id",
            "songs[-1].url",
            "songs[7]",
            "status.x",
            "songs.x",
            "n[0]",
            "by_id.x.url",
        ),
        *(
            "nothing || status",
            "n == `3` && 'three'",
            "!nothing",
            "songs[].url",
            "songs[*].url",
            "songs[?url].id",
        ),
        *(
            "songs[::-1].id",
            "by_id.*.url",
            "*.x",
            "length(songs)",
            "keys(by_id)",
            "{a: status, b: n}",
            "[n, n]",
        ),
        *(
            "sort_by(songs[:2], &id)[0].id",
            "max_by(songs[:2], &id).id",
            "join('-', ['a', status])",
            "n > `2`",
        ),
        *(
            "status < 'z'",
            "songs < `1`",
            "not_null(nothing, n)",
            "to_string(n)",
            "to_array(n)",
            "songs | [0]",
        ),
        *(
            "[[1], [2]][]",
            "contains(status, 'k')",
            "contains(['a'], 'a')",
            "merge(by_id, {z: n})",
            "map(&id, songs)",
        ),
        *("[n, n] == [n, n]", "sum([n, n])", "reverse(status)", "type(n)", "to_number('1.5')", "`[1, 2]`[1]"),
        *("sort(['b', 'a'])", "starts_with(status, 'o')", '"by_id"."x"', "songs[0].[id, url]"),
    ],
)
def test_it_means_what_jmespath_means(text: str) -> None:
    assert value(text) == jmespath.search(text, TASK)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from_json(json).a", [1, None, "1e999", "�"]),
        ("from_json(status)", None),
        ("lower('ÄB')", "äb"),
        ("split('a/b', '/')[1]", "b"),
        ("items(by_id)[1]", ["y", {"url": "2"}]),
        ("items(by_id)[*].[[0], [1].url]", [["x", "1"], ["y", "2"]]),
    ],
)
def test_what_answers_of_task_apis_need_besides(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("length(nothing)", "length() takes string or array or object, and was given null"),
        ("n > 'a'", "it compares or searches values of different types"),
        ("contains(status, n)", "it compares or searches values of different types"),
        ("join('', songs[].id | [@[0], `null`])", "join() takes array-string, and was given null"),
        ("split(status, '')", "it cannot be evaluated (ValueError)"),
        ("split(n, '/')", "split() takes string, and was given number"),
        ("split(status, n)", "split() takes string, and was given number"),
        ("ceil(`1e999`)", None),
        ("&status", "it gives an expression and no value"),
        ("[&status]", "it gives an expression and no value"),
        ("sum([`1e308`, `1e308`])", "it gives a number that JSON cannot hold"),
        (f"to_number('{'9' * 39}')", "it gives a number that JSON cannot hold"),
    ],
)
def test_what_raises_is_no_value_and_says_why(text: str, reason: str | None) -> None:
    if reason is None:
        with pytest.raises(ValueError, match="a literal that is no JSON"):
            Expression(text)
    else:
        assert because(text) == reason


def test_whatever_the_library_raises_of_a_text_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise IndexError

    monkeypatch.setattr(jmespath, "compile", fail)
    with pytest.raises(ValueError, match=r"^does not compile \(IndexError\)$"):
        Expression("a.b")


def test_a_reason_holds_nothing_of_the_answer() -> None:
    assert "sk-secret" not in because("length(n)", {"n": True, "key": "sk-secret"})
    assert "sk-secret" not in because("abs(key)", {"key": "sk-secret"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("a" * (MAX_LENGTH + 1), "has 1001 characters, more than 1000"),
        ("a.", "does not compile: something is missing at its end"),
        ("a]", "does not compile: ']' is not expected at character 2"),
        ("a # b", "does not compile: Unknown token # at character 3"),
        ("[" * 900, "nests deeper than 40 levels"),
        ("a" + " || a" * 190, "nests deeper than 40 levels"),
        ("!" * 900 + "a", "nests deeper than 40 levels"),
        ("nope(a)", "calls nope(), which is no function"),
        ("length()", "calls length() with 0 arguments; it takes 1"),
        ("merge()", "calls merge() with 0 arguments; it takes 1 or more"),
        ("a[::0]", "has a slice whose step is 0"),
        ("`nope`", "has a literal that is no JSON: write a text as 'text'"),
        ("`NaN`", "has a literal that is no JSON"),
        ("`1e999`", "has a literal that is no JSON"),
        ('`"\\ud800"`', "has half a character: write it as itself, without \\u"),
        ('{"\\udc00": a}', "has half a character: write it as itself, without \\u"),
        ("a[" + "9" * 900, "does not compile: something is missing at its end"),
        ("'\\", None),
    ],
)
def test_a_text_that_is_no_expression_is_refused(text: str, reason: str | None) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the reason is compared below
        Expression(text)
    if reason is not None:
        assert str(caught.value) == reason


MULTIPLY = " | [@, @, @, @, @, @, @, @][]"


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("[]", [1] * 100_000),
        ("[][]", [[1] * 6_000] * 10),
        ("[*].[@, @, @, @]", [1] * 9_000),
        (f"[@]{MULTIPLY * 12}", 1),
        (f"[@]{MULTIPLY * 4} | [*].to_string(@)", TASK),
        ("[::-1]", [1] * 100_000),
        ("l == l", {"l": [1] * 100_000}),
        ("[?@ == `1`]", [1] * 100_000),
        ("sort(@)", [1] * 1_000),
        ("sort_by(@, &@)", list(range(5_000))),
        ("max_by(@, &@)", [TEXT, TEXT]),
        (f"[a, b, a, b]{MULTIPLY * 3} | sort(@)", {"a": TEXT, "b": TEXT + "y"}),
        (f"[a, b, a, b]{MULTIPLY * 3} | max(@)", {"a": TEXT, "b": TEXT + "y"}),
        (f"[l[*].a[]{MULTIPLY * 2}, b] | contains([0], [1])", {"l": [{"a": [TEXT]}] * 9, "b": TEXT + "y"}),
        ("join(a, [a, a, a])", {"a": TEXT}),
        ("lower(@)", TEXT),
        ("to_string(@)", [1] * 100_000),
        ("from_json(@)", json.dumps([1] * 100_000)),
        ("to_number(@)", "1" * 1_000_000),
        ("split(@, 'x')", TEXT),
        ("contains(@, 'aaaaaaaaaaaaaaaaaaaab')", "a" * 1_000_000),
        ("contains(@, `{}`)", [1] * 100_000),
        ("keys(@)", dict.fromkeys(map(str, range(20_000)))),
        ("values(@)", dict.fromkeys(map(str, range(20_000)))),
        ("items(@)", dict.fromkeys(map(str, range(20_000)))),
        ("*", dict.fromkeys(map(str, range(20_000)))),
        ("merge(@, @)", dict.fromkeys(map(str, range(6_000)))),
        ("map(&@, @)", [1] * 20_000),
        ("sum(@)", [1] * 20_000),
        ("@[]", [1] * 20_000),
        ("@[]", [[]] * 20_000),
        ("reverse(@)", [1] * 20_000),
        ("[*].reverse(@)", [TEXT] * 50),
        ("a == b", {"a": [[1] * 6_000] * 2, "b": [[1] * 6_000] * 2}),
    ],
    ids=named,
)
def test_what_walks_too_far_is_given_up_before_it_does(text: str, given: Any) -> None:
    steps = Steps()
    found = Expression(text).evaluate(given, steps)
    assert found == NoValue("it takes more than 10000 steps")
    assert MAX_ANSWER_STEPS - steps.left == MAX_STEPS


def test_what_a_function_multiplies_is_never_made() -> None:
    """The texts of this join would take 32 GB."""
    steps = Steps()
    assert isinstance(Expression("join(@, split(@, 'y'))").evaluate("yx" * 1_000_000, steps), NoValue)


@pytest.mark.parametrize(
    ("text", "given", "most"),
    [
        ("data.task.status || data.status", {"data": {"status": "ok"}}, 10),
        ("output[?type=='image'].url", {"output": [{"type": "image", "url": "u"}] * 20}, 150),
        ("length(@)", TEXT, 10),
        ("starts_with(@, 'https://')", TEXT, 10),
        ("contains(@, 'y')", TEXT, 1_000),
        ("reverse(@)", TEXT, 8_000),
        ("from_json(@)", json.dumps({"urls": ["https://h.example/a.mp3"] * 20}), 150),
    ],
    ids=named,
)
def test_what_answers_take_is_far_below(text: str, given: Any, most: int) -> None:
    steps = Steps()
    assert not isinstance(Expression(text).evaluate(given, steps), NoValue)
    assert MAX_ANSWER_STEPS - steps.left <= most


def test_a_plain_path_takes_one_step_whatever_the_answer_holds() -> None:
    steps = Steps()
    assert Expression("a.b[0]").evaluate({"a": {"b": [TASK], "c": [1] * 100_000}}, steps) is TASK
    assert MAX_ANSWER_STEPS - steps.left == 1


def test_a_part_of_the_answer_is_given_however_large_it_is() -> None:
    large = [TEXT] * 3
    assert value("a || b", {"b": large}) is large


def test_what_is_made_of_the_answer_has_at_most_2_mib_of_text() -> None:
    assert because("[a, a, a]", {"a": TEXT}) == "it gives more than 2 MiB of text"
    assert value("[a, a]", {"a": TEXT}) == [TEXT, TEXT]


def test_what_is_made_of_the_answer_nests_32_levels_at_most() -> None:
    deep: Any = 1
    for _ in range(31):
        deep = [deep]
    assert value("[@]", deep) == [deep]
    assert because("[[@]]", deep) == "it gives what nests deeper than 32 levels"


def test_all_expressions_of_an_answer_share_its_steps() -> None:
    steps = Steps()
    greedy, plain = Expression("[][]"), Expression("a")
    found = [greedy.evaluate([1] * 100_000, steps) for _ in range(3)]
    assert found[:2] == [NoValue("it takes more than 10000 steps")] * 2
    together = NoValue("the expressions of this answer take more than 25000 steps together")
    assert found[2] == together
    assert plain.evaluate({"a": 1}, steps) == together


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abcd"), inner))
PIECES = st.sampled_from(
    [
        *(
            "a",
            "b",
            ".",
            "[",
            "]",
            "*",
            "[]",
            "[?",
            "|",
            "||",
            "&&",
            "&",
            "!",
            "(",
            ")",
            "{",
            "}",
            ",",
            ":",
            "@",
        ),
        *(
            "`1`",
            "`[1]`",
            "'x'",
            "0",
            "-1",
            "==",
            "<",
            ">=",
            "length(",
            "sort_by(",
            "map(",
            "join(",
            "from_json(",
        ),
        *(
            "items(",
            "to_string(",
            "contains(",
            "merge(",
            "max(",
            "lower(",
            "split(",
            "keys(",
            "[::2]",
            '"c"',
            "\\",
        ),
    ]
)


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.lists(PIECES, min_size=1, max_size=12).map("".join), JSON)
def test_no_text_raises_anything_but_its_refusal_and_no_answer_raises_anything(text: str, given: Any) -> None:
    refusal = None
    try:
        expression = Expression(text)
    except ValueError as error:
        refusal = str(error)
    if refusal is not None:
        assert refusal
        return
    found = expression.evaluate(given, Steps())
    assert isinstance(found, NoValue | str | int | float | list | dict | None)

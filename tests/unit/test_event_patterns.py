"""The pattern language of `filter`: examples after those of Event Ruler's documents and tests, mistakes by their paths,
and properties over drawn events. Where a test says `slowly`, it is the definition in as few words as there are.
"""

import itertools
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tunehook.errors import InvalidInput
from tunehook.event_patterns import MAX_ALTERNATIVES, MAX_BYTES, MAX_STARS, MAX_STEPS, EventPattern, Mismatch

EVENT = {
    "version": "0",
    "detail-type": "Instance State-change",
    "time": "2017-10-02T16:24:49Z",
    "resources": ["arn:aws:ec2:instance/i-1", "arn:aws:ec2:instance/i-2"],
    "detail": {
        "c-count": 5,
        "x-limit": 301.8,
        "source-ip": "10.0.0.33",
        "source-ip6": "2001:db8::7",
        "state": "running",
        "spot": False,
        "reason": None,
        "path": "lib/a*b/x.jar",
        "empty": "",
        "none": [],
        "nested": {"c1": 100},
    },
    "staff": [
        [{"first": "Anna", "last": "Smith"}, {"first": "Bo", "last": "Doe", "ids": [1234, 1000]}],
        [{"first": "Peter", "last": "Jones", "ids": []}],
    ],
}


def of(field: str, *values: object) -> dict[str, Any]:
    return {"detail": {field: list(values)}}


MATCHING = [
    {"resources": ["arn:aws:ec2:instance/i-2"], "detail": {"state": ["initializing", "running"]}},
    {"time": [{"prefix": "2017-10-02"}]},
    of("state", {"prefix": {"equals-ignore-case": "RUN"}}),
    of("state", {"suffix": "ning"}),
    of("state", {"suffix": {"equals-ignore-case": "NinG"}}),
    of("state", {"equals-ignore-case": "RuNNing"}),
    of("state", {"exactly": "running"}),
    of("state", {"wildcard": "r*n*g"}),
    of("state", {"wildcard": "*"}),
    of("state", {"wildcard": "running"}),
    of("state", {"wildcard": "running*"}),
    of("path", {"wildcard": "lib/a\\*b/*.jar"}),
    of("empty", {"wildcard": "*"}),
    of("empty", ""),
    of("state", {"anything-but": "initializing"}),
    of("state", {"anything-but": ["stopped", "overloaded"]}),
    of("state", {"anything-but": {"prefix": "init"}}),
    of("state", {"anything-but": {"prefix": ["init", "error"]}}),
    of("state", {"anything-but": {"suffix": "1234"}}),
    of("state", {"anything-but": {"equals-ignore-case": ["Stopped", "OverLoaded"]}}),
    of("state", {"anything-but": {"wildcard": ["*/bin/*.jar", "*x*"]}}),
    of("state", {"anything-but": 5}),
    of("c-count", {"anything-but": "5"}),
    of("c-count", {"anything-but": [100, 200]}),
    of("c-count", {"anything-but": {"prefix": "5"}}),
    of("reason", {"anything-but": "x"}),
    of("spot", {"anything-but": 0}),
    of("c-count", {"numeric": [">", 0, "<=", 5]}),
    of("c-count", {"numeric": ["<", 10]}),
    of("c-count", {"numeric": [">=", 5]}),
    of("x-limit", {"numeric": ["=", 3.018e2]}),
    of("x-limit", 3.018e2),
    of("c-count", 5.0),
    of("spot", False),
    of("reason", None),
    of("source-ip", {"cidr": "10.0.0.0/24"}),
    of("source-ip", {"cidr": "10.0.0.99/24"}),
    of("source-ip6", {"cidr": "2001:db8::/32"}),
    of("c-count", {"exists": True}),
    of("reason", {"exists": True}),
    of("d-count", {"exists": False}),
    of("nested", {"exists": False}),
    of("none", {"exists": False}),
    of("tier", "gold", {"exists": False}),
    {"detail": {"nested": {"c1": [100]}}},
    {"detail.nested.c1": [100]},
    {"resources": [{"anything-but": "arn:aws:ec2:instance/i-1"}]},
    {"staff": {"first": ["Anna"]}},
    {"staff": {"first": ["Bo"], "ids": [1000]}},
    {"staff": {"first": ["Anna"], "ids": [{"exists": False}]}},
    {"staff": {"age": [{"exists": False}]}},
    {"$or": [{"version": ["1"]}, {"detail": {"state": ["running"]}}]},
    {"version": ["0"], "detail": {"$or": [{"c-count": [{"numeric": [">", 9]}]}, {"x-limit": [301.8]}]}},
    {"$or": [{"version": ["0"]}, {"time": ["x"]}], "detail": {"$or": [{"a": [1]}, {"spot": [False]}]}},
    {"$or": [{"a": [1]}, {"$or": [{"b": [1]}, {"version": ["0"]}]}]},
]

OTHERS = [
    of("state", "Running"),
    of("state", {"exactly": "run"}),
    of("state", {"prefix": "unning"}),
    of("state", {"prefix": "RUN"}),
    of("state", {"suffix": "NING"}),
    of("c-count", {"numeric": ["<", 5]}),
    of("c-count", {"numeric": [">", 5]}),
    of("state", {"wildcard": "r*z*g"}),
    of("state", {"wildcard": "run*nning"}),
    of("state", {"wildcard": "unn*"}),
    of("path", {"wildcard": "lib/a\\*c/*.jar"}),
    of("c-count", {"prefix": "5"}),
    of("c-count", {"wildcard": "*"}),
    of("c-count", "5"),
    of("version", 0),
    of("spot", 0),
    of("spot", "false"),
    of("reason", "null"),
    of("empty", None),
    of("state", {"anything-but": "running"}),
    of("state", {"anything-but": {"prefix": ["run", "x"]}}),
    of("state", {"anything-but": {"equals-ignore-case": "RUNNING"}}),
    of("state", {"anything-but": {"wildcard": "*nn*"}}),
    of("missing", {"anything-but": "x"}),
    of("none", {"anything-but": "x"}),
    of("c-count", {"anything-but": [5, 6]}),
    of("c-count", {"numeric": [">", 0, "<", 5]}),
    of("state", {"numeric": [">", 0]}),
    of("spot", {"numeric": ["<", 1]}),
    of("spot", {"numeric": ["=", 0]}),
    of("spot", {"numeric": ["<=", 1]}),
    of("spot", {"numeric": [">", -1]}),
    of("spot", {"numeric": [">=", 0]}),
    of("c-count", {"cidr": "0.0.0.0/0"}),
    of("source-ip", {"cidr": "10.0.1.0/24"}),
    of("source-ip", {"cidr": "2001:db8::/32"}),
    of("state", {"cidr": "0.0.0.0/0"}),
    of("d-count", {"exists": True}),
    of("c-count", {"exists": False}),
    of("nested", {"exists": True}),
    of("nested", 100),
    {"detail": ["running"]},
    {"detail": {"state": {"x": ["running"]}}},
    {"staff": {"first": ["Alice"]}},
    {"staff": {"first": ["Anna"], "last": ["Jones"]}},
    {"staff": {"first": ["Anna"], "ids": [1000]}},
    {"staff": {"first": ["Anna"], "ids": [{"exists": True}]}},
    {"staff": {"ids": [{"exists": False}]}},
    {"staff": ["Anna"]},
    {"$or": [{"version": ["1"]}, {"time": ["x"]}]},
    {"version": ["1"], "$or": [{"detail": {"state": ["running"]}}, {"time": [{"prefix": "2017"}]}]},
]


@pytest.mark.parametrize("pattern", MATCHING, ids=json.dumps)
def test_it_matches(pattern: dict[str, Any]) -> None:
    assert EventPattern.read(pattern).matches(EVENT)
    assert EventPattern.read(json.dumps(pattern, indent=2)).matches(EVENT)
    assert EventPattern.read(pattern).mismatches(EVENT) == []


@pytest.mark.parametrize("pattern", OTHERS, ids=json.dumps)
def test_it_does_not_match_and_something_of_it_is_named(pattern: dict[str, Any]) -> None:
    read = EventPattern.read(pattern)
    assert not read.matches(EVENT)
    assert read.mismatches(EVENT)


A = "filter.a[0]"
MISTAKES: list[tuple[object, str]] = [
    ([1, 2, 3], "filter"),
    (7, "filter"),
    ({}, "filter"),
    ("", "filter"),
    ("{", "filter"),
    ('{"a": [1], "a": [2]}', "filter"),
    ('{"a": [1]} x', "filter"),
    ("[" * 9_999, "filter"),
    ("x" * 99_999, "filter"),
    ({"a": ["\ud800"]}, "filter"),
    ({7: ["x"]}, "filter"),
    ({"": ["x"]}, "filter"),
    ({"a": {"": ["x"]}}, "filter.a"),
    ({"a": 1}, "filter.a"),
    ({"a": "x"}, "filter.a"),
    ({"a": None}, "filter.a"),
    ({"a": {}}, "filter.a"),
    ({"a": []}, "filter.a"),
    ({"a": {"b": {"c": []}}}, "filter.a.b.c"),
    ({"a": [{}]}, A),
    ({"a": [[1]]}, A),
    ({"a": [{1, 2}]}, A),
    ({"a": [b"x"]}, A),
    ({"a": [1, {"x": 2}]}, "filter.a[1].x"),
    ({"a": [{"prefix": "p", "suffix": "s"}]}, A),
    ({"a": [{"exists": True, "x": 1}]}, A),
    ({"a": [{"exists": "yes"}]}, f"{A}.exists"),
    ({"a": [{"exists": 1}]}, f"{A}.exists"),
    ({"a": [{"exactly": 33}]}, f"{A}.exactly"),
    ({"metadata": {"order": [{"prefix": 3}]}}, "filter.metadata.order[0].prefix"),
    ({"a": [{"suffix": ["x"]}]}, f"{A}.suffix"),
    ({"a": [{"prefix": {"x": "abc"}}]}, f"{A}.prefix.x"),
    ({"a": [{"prefix": {"equals-ignore-case": 5}}]}, f"{A}.prefix.equals-ignore-case"),
    ({"a": [{"prefix": {"equals-ignore-case": "a", "x": "b"}}]}, f"{A}.prefix"),
    ({"a": [{"equals-ignore-case": ["abc"]}]}, f"{A}.equals-ignore-case"),
    ({"a": [{"wildcard": 5}]}, f"{A}.wildcard"),
    ({"a": [{"wildcard": "a**b"}]}, f"{A}.wildcard"),
    ({"a": [{"wildcard": "a\\"}]}, f"{A}.wildcard"),
    ({"a": [{"wildcard": "a\\b"}]}, f"{A}.wildcard"),
    ({"a": [{"wildcard": "*a" * (MAX_STARS + 1)}]}, f"{A}.wildcard"),
    ({"a": [{"cidr": "foo"}]}, f"{A}.cidr"),
    ({"a": [{"cidr": "10.0.0.1"}]}, f"{A}.cidr"),
    ({"a": [{"cidr": 7}]}, f"{A}.cidr"),
    ({"a": [{"cidr": "10.0.0.0/255.0.0.0"}]}, f"{A}.cidr"),
    ({"a": [{"cidr": "10.0.0.0/0.255.255.255"}]}, f"{A}.cidr"),
    ({"a": [{"cidr": "10.0.0.0/"}]}, f"{A}.cidr"),
    ({"a": [{"cidr": "10.0.0.0/٨"}]}, f"{A}.cidr"),
    ({"a": [{"cidr": "10.0.0.0/²"}]}, f"{A}.cidr"),
    ({"a": [{"anything-but": None}]}, f"{A}.anything-but"),
    ({"a": [{"anything-but": []}]}, f"{A}.anything-but"),
    ({"a": [{"anything-but": True}]}, f"{A}.anything-but"),
    ({"a": [{"anything-but": ["x", 1]}]}, f"{A}.anything-but"),
    ({"a": [{"anything-but": {"numeric": ["<", 3]}}]}, f"{A}.anything-but.numeric"),
    ({"a": [{"anything-but": {"prefix": ""}}]}, f"{A}.anything-but.prefix"),
    ({"a": [{"anything-but": {"prefix": ["1", ""]}}]}, f"{A}.anything-but.prefix[1]"),
    ({"a": [{"anything-but": {"suffix": [1]}}]}, f"{A}.anything-but.suffix[0]"),
    ({"a": [{"anything-but": {"wildcard": ["1", "x**y"]}}]}, f"{A}.anything-but.wildcard[1]"),
    ({"a": [{"anything-but": {"prefix": "a", "suffix": "b"}}]}, f"{A}.anything-but"),
    ({"a": [{"numeric": 5}]}, f"{A}.numeric"),
    ({"a": [{"numeric": ["="]}]}, f"{A}.numeric"),
    ({"a": [{"numeric": ["=", True]}]}, f"{A}.numeric[1]"),
    ({"a": [{"numeric": ["=", "1"]}]}, f"{A}.numeric[1]"),
    ({"a": [{"numeric": ["==", 1]}]}, f"{A}.numeric[0]"),
    ({"a": [{"numeric": [["x"], 1]}]}, f"{A}.numeric[0]"),
    ({"a": [{"numeric": ["<", 1, ">", 0]}]}, f"{A}.numeric[0]"),
    ({"a": [{"numeric": [">", 1, ">", 2]}]}, f"{A}.numeric[2]"),
    ({"a": [{"numeric": [">", 1, "<", 1]}]}, f"{A}.numeric[3]"),
    ({"a": [{"numeric": [">", 1, "<", 30, False]}]}, f"{A}.numeric"),
    ({"a": [math.nan]}, A),
    ({"a": [math.inf]}, A),
    ({"a": [10**40]}, A),
    ('{"a": [1e999]}', A),
    ({"$or": {"a": [1]}}, "filter.$or"),
    ({"$or": [{"a": [1]}]}, "filter.$or"),
    ({"$or": [{"a": [1]}, 5]}, "filter.$or[1]"),
    ({"$or": [{"a": [1]}, {}]}, "filter.$or[1]"),
    ({"d": {"$or": [{"a": [1]}, {"b": [{"prefix": 1}]}]}}, "filter.d.$or[1].b[0].prefix"),
    ({"$or": [{"numeric": [123]}, {"prefix": ["abc"]}]}, "filter.$or[0].numeric"),
    ({"a": [1], "$or": [{"a": [2]}, {"b": [3]}]}, "filter.$or"),
    ({"a": [1], "a.b": [2]}, "filter.a.b"),
    ({"$or": [{"a": [number]} for number in range(MAX_ALTERNATIVES + 1)]}, "filter.$or"),
    ({f"f{n}": {"$or": [{"a": [1]}, {"b": [1]}]} for n in range(7)}, "filter.f6"),
    ({".".join("a" * (MAX_STEPS + 1)): [1]}, f"filter.{'.'.join('a' * (MAX_STEPS + 1))}"),
    ({"a": ["x" * MAX_BYTES]}, "filter"),
]


@pytest.mark.parametrize(("pattern", "path"), MISTAKES, ids=lambda each: str(each)[:60])
def test_a_mistake_is_refused_with_its_path(pattern: object, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        EventPattern.read(pattern)
    assert refused.value.field == path


@pytest.mark.parametrize(
    "pattern", [{7: ["x"], "a": ["y"]}, {"a": [10**5_000]}], ids=["names of two types", "a long number"]
)
def test_what_json_cannot_hold_is_refused_as_that(pattern: dict[Any, Any]) -> None:
    with pytest.raises(InvalidInput, match="is no JSON: a name that is no text, a number that is too long"):
        EventPattern.read(pattern)


def test_so_is_what_is_nested_too_deeply_to_be_read_or_written() -> None:
    nested: list[Any] = ["x"]
    for _ in range(100_000):
        nested = [nested]
    for pattern in ({"a": nested}, "[" * 60_000):
        with pytest.raises(InvalidInput, match="nested too deeply"):
            EventPattern.read(pattern)


def test_half_of_a_surrogate_pair_is_told_as_that() -> None:
    with pytest.raises(InvalidInput, match="half of a surrogate pair"):
        EventPattern.read({"a": ["\ud800"]})


def test_a_text_of_64_kib_is_read() -> None:
    text = '{"a": [1]}'.ljust(65_536)
    assert EventPattern.read(text) == EventPattern.read({"a": [1]})
    with pytest.raises(InvalidInput, match="at most 4096 bytes"):
        EventPattern.read(text + " ")


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_is_one_that_a_table_keeps(sign: int) -> None:
    for number in (0, 1e-100, 9.9e37):
        assert EventPattern.read({"a": [sign * number]}).matches({"a": sign * number})
    for number in (9.9e-101, 1e38):
        with pytest.raises(InvalidInput, match="must be 0, or a number between 1e-100 and 1e"):
            EventPattern.read({"a": [sign * number]})


def test_a_field_is_16_names_deep_at_most_and_a_wildcard_has_16_stars() -> None:
    assert EventPattern.read({".".join("a" * 16): [1]})
    with pytest.raises(InvalidInput, match="is more than 16 names deep"):
        EventPattern.read({".".join("a" * 17): [1]})
    assert EventPattern.read({"a": [{"wildcard": "*a" * 16}]})
    with pytest.raises(InvalidInput, match=r"at most 16 \*"):
        EventPattern.read({"a": [{"wildcard": "*a" * 17}]})


def test_a_pattern_has_4096_bytes_and_amounts_to_64_alternatives_at_most() -> None:
    assert EventPattern.read({"a": ["x" * (4_096 - len('{"a":[""]}'))]})
    with pytest.raises(InvalidInput, match="at most 4096 bytes of JSON: it has 4097"):
        EventPattern.read({"a": ["x" * (4_097 - len('{"a":[""]}'))]})
    assert EventPattern.read({"$or": [{"a": [number]} for number in range(64)]})
    with pytest.raises(InvalidInput, match="at most 64 alternatives"):
        EventPattern.read({"$or": [{"a": [number]} for number in range(65)]})


def test_the_longest_is_taken_and_white_space_does_not_count() -> None:
    longest = {"a": ["x" * (MAX_BYTES - len('{"a":[""]}'))]}
    assert EventPattern.read(json.dumps(longest, indent=8)) == EventPattern.read(longest)


def deep(ors: int) -> dict[str, Any]:
    """Return a pattern with so many `$or` within each other."""
    pattern: dict[str, Any] = {"innermost": [{"prefix": {"equals-ignore-case": "x"}}]}
    for number in range(ors):
        pattern = {"$or": [pattern, {f"beside-{number}": [1]}]}
    return pattern


def test_a_pattern_is_no_deeper_than_a_table_can_keep() -> None:
    # Each `$or` is an object and a list; the innermost field has four levels more.
    pattern = EventPattern.read(deep(13))
    assert pattern.matches({"innermost": "XYZ"})
    with pytest.raises(InvalidInput, match="at most 30 objects and lists within each other"):
        EventPattern.read(deep(14))


def test_what_keeps_an_event_from_matching_is_that_of_the_nearest_alternative() -> None:
    pattern = {
        "detail": {"state": ["stopped"]},
        "$or": [{"version": ["0"]}, {"time": ["x"]}],
        "resources": [{"prefix": "x"}],
    }
    values = ["arn:aws:ec2:instance/i-1", "arn:aws:ec2:instance/i-2"]
    assert EventPattern.read(pattern).mismatches(EVENT) == [
        Mismatch("detail.state", ["stopped"], ["running"]),
        Mismatch("resources", [{"prefix": "x"}], values),
    ]


def test_fields_that_match_in_different_elements_are_told_as_that() -> None:
    pattern = {"staff": {"first": ["Anna"], "last": ["Jones"]}}
    assert EventPattern.read(pattern).mismatches(EVENT) == [Mismatch("", pattern, [])]


def test_few_and_short_values_are_shown() -> None:
    event = {"a": ["x" * 999, *range(99)]}
    ((found,),) = (EventPattern.read({"a": ["y"]}).mismatches(event),)
    assert found.values == ["x" * 200, *range(9)]


def test_a_dotted_name_of_an_event_is_found_as_it_is_written_and_as_nested() -> None:
    event = {"metadata": {"order.id": 7, "order": {"state": "new"}}}
    for pattern in (
        {"metadata": {"order.id": [7]}},
        {"metadata": {"order": {"id": [7], "state": ["new"]}}},
        {"metadata.order.id": [7]},
    ):
        assert EventPattern.read(pattern).matches(event)


def test_a_text_that_is_an_operators_name_is_a_text() -> None:
    assert EventPattern.read({"a": ["it exists"]}).matches({"a": "it exists"})


def test_a_wildcard_with_many_stars_ends_on_a_long_text() -> None:
    """A regular expression with 16 stars would not end today."""
    pattern = EventPattern.read({"a": [{"wildcard": "*a" * MAX_STARS + "b"}]})
    assert not pattern.matches({"a": "a" * 200_000})


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True),
    st.text(max_size=5),
    st.sampled_from("ab"),
)
NAMES = st.sampled_from(["a", "b", "c", "a.b"])
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
SOME = st.sampled_from(["a", "b", 1, 2.5, True, None])
PLAIN_NAMES = st.sampled_from(["a", "b", "c"])
EVENTS = st.dictionaries(
    PLAIN_NAMES,
    st.recursive(
        SOME,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN_NAMES, inner, max_size=3),
        max_leaves=10,
    ),
    max_size=3,
)
ASKED = st.one_of(
    SOME,
    st.sampled_from(
        [
            {"exists": True},
            {"exists": False},
            {"prefix": "a"},
            {"anything-but": "a"},
            {"anything-but": [1]},
            {"numeric": [">", 1]},
            {"wildcard": "*b"},
        ]
    ),
)
FIELDS = st.lists(ASKED, min_size=1, max_size=2)
PATTERNS = st.recursive(
    st.dictionaries(PLAIN_NAMES, FIELDS, min_size=1, max_size=2),
    lambda inner: (
        st.dictionaries(PLAIN_NAMES, FIELDS | inner, min_size=1, max_size=2)
        | st.builds(lambda *each: {"$or": list(each)}, inner, inner)
    ),
    max_leaves=4,
)

Place = tuple[tuple[tuple[int, ...], int], ...]


def flat(node: Any, path: tuple[str, ...] = (), place: Place = (), at: tuple[int, ...] = ()) -> Iterator[Any]:
    """Every value of an event, with its path, and in which elements of which lists it is."""
    if isinstance(node, dict):
        for number, (name, value) in enumerate(node.items()):
            yield from flat(value, (*path, name), place, (*at, number))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from flat(value, path, (*place, (at, number)), (*at, number))
    else:
        yield path, node, dict(place)


def fit(one: dict[Any, int], other: dict[Any, int]) -> bool:
    return all(other.get(each, number) == number for each, number in one.items())


def alternatives(pattern: Any, path: tuple[str, ...] = ()) -> list[dict[tuple[str, ...], Any]]:
    found: list[dict[tuple[str, ...], Any]] = [{}]
    for name, value in pattern.items():
        if name == "$or":
            more = [each for part in value for each in alternatives(part, path)]
        elif isinstance(value, dict):
            more = alternatives(value, (*path, name))
        else:
            more = [{(*path, name): value}]
        found = [one | other for one in found for other in more]
    return found


def holds(asked: Any, value: Any) -> bool:
    if not isinstance(asked, dict):
        return type(asked) is type(value) and asked == value
    ((operator, wanted),) = asked.items()
    if operator == "anything-but":
        return all(not holds(each, value) for each in (wanted if isinstance(wanted, list) else [wanted]))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_text = isinstance(value, str)
    return bool(
        {
            "exists": wanted is True,
            "prefix": is_text and str(value).startswith("a"),
            "wildcard": is_text and str(value).endswith("b"),
            "numeric": is_number and value > 1,
        }[operator]
    )


def slowly(pattern: Any, event: Any) -> bool:
    """Choose a value, or that there is none, for each field of an alternative; all in elements that fit together."""
    values = list(flat(event))
    for fields in alternatives(pattern):
        choices = []
        for path, asked in fields.items():
            here = [
                place
                for at, value, place in values
                if at == path and any(holds(each, value) for each in asked)
            ]
            choices.append([*here, *([None] if {"exists": False} in asked else [])])
        for chosen in itertools.product(*choices):
            places = [place for place in chosen if place is not None]
            whole = {element: number for place in places for element, number in place.items()}
            absent = [path for path, place in zip(fields, chosen, strict=True) if place is None]
            if all(fit(place, whole) for place in places) and not any(
                at in absent and fit(place, whole) for at, _, place in values
            ):
                return True
    return False


def read_or_none(pattern: Any) -> EventPattern | None:
    try:
        return EventPattern.read(pattern)
    except InvalidInput:  # it asks twice of a field
        return None


@given(PATTERNS, EVENTS)
def test_it_decides_as_its_definition_does(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    read = read_or_none(pattern)
    assume(read is not None)
    assert read is not None
    assert read.matches(event) is slowly(pattern, event)
    assert bool(read.mismatches(event)) is not read.matches(event)


@given(PATTERNS, st.dictionaries(NAMES, ANYTHING, max_size=3))
def test_no_event_makes_it_raise(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    if (read := read_or_none(pattern)) is not None:
        assert read.matches(event) is not bool(read.mismatches(event))


@given(ANYTHING | st.text(max_size=30))
def test_what_is_no_pattern_is_refused_as_that(anything: object) -> None:
    read = read_or_none(anything)
    assert read is None or EventPattern.read(read.text) == read


def test_an_event_may_be_as_deep_as_it_likes() -> None:
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]
    assert EventPattern.read({"a": ["x"]}).matches({"a": deep})
    for _ in range(50_000):
        deep = {"b": deep}
    assert not EventPattern.read({"a": ["x"]}).matches({"a": deep})


@given(EVENTS, st.data())
def test_a_pattern_of_an_events_own_values_matches_and_a_changed_one_does_not(
    event: dict[str, Any], data: st.DataObject
) -> None:
    values = list(flat(event))
    assume(values)
    path, value, _ = data.draw(st.sampled_from(values))

    def pattern(asked: object) -> dict[str, Any]:
        nested: Any = [asked]
        for name in reversed(path):
            nested = {name: nested}
        return dict(nested)

    assert EventPattern.read(pattern(value)).matches(event)
    assert not EventPattern.read(pattern("changed")).matches(event)


@pytest.mark.parametrize("is_last", [True, False])
def test_fields_are_counted_in_all_alternatives(is_last: bool) -> None:
    """Each alternative repeats the fields beside it: 330 in 64 took half a second to read, and more to match."""
    either = {"$or": [{f"a{number}": [1]} for number in range(64)]}

    def pattern(count: int) -> dict[str, Any]:
        beside = {f"b{number}": [1] for number in range(count)}
        return {**beside, **either} if is_last else {**either, **beside}

    assert EventPattern.read(pattern(15)).matches({"a63": 1} | {f"b{number}": 1 for number in range(15)})
    with pytest.raises(InvalidInput, match="at most 1024 fields"):
        EventPattern.read(pattern(16))

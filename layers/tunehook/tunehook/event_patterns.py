"""EventBridge's pattern language, over any JSON object: what a subscription's `filter` is written in
(docs/webhook-contract.md, "Filters by content"; docs/decisions/060-filters-in-eventbridges-language.md).

A pattern is taken apart once, into alternatives without ``$or``, each a tree of fields. To match it walks an event
along the fields that the pattern names, and looks at nothing else: the time grows with the pattern's length times that
part of the event, whatever is in either. There are no regular expressions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import ip_address, ip_network
from typing import Any, Final, NoReturn, TypeAlias

from tunehook.errors import InvalidInput

MAX_BYTES: Final = 4096
"""Of a pattern as JSON, without white space between its parts."""

MAX_STEPS: Final = 16
"""From the event down to a field."""

MAX_ALTERNATIVES: Final = 64
"""That the ``$or`` of a pattern amount to, multiplied where they stand beside each other."""

MAX_LEVELS: Final = 30
"""Of objects and lists within each other, those of ``$or`` too: DynamoDB keeps 32, of which two are ours."""

MAX_FIELDS: Final = 1_024
"""That all alternatives ask of together: each is looked for by itself."""

MAX_STARS: Final = 16
"""In one text of a ``wildcard``."""

_MAX_TEXT: Final = 65_536
"""Of a pattern as text, white space included, before it is read."""

_LARGEST: Final = 1e38
_SMALLEST: Final = 1e-100
"""Numbers of a pattern that DynamoDB keeps."""

_OR: Final = "$or"
_SHOWN: Final = 10
_SHOWN_CHARS: Final = 200

_RESERVED: Final = frozenset(
    (
        "exactly",
        "prefix",
        "suffix",
        "anything-but",
        "numeric",
        "exists",
        "cidr",
        "equals-ignore-case",
        "wildcard",
    )
)

_Test: TypeAlias = Callable[[Any], bool]


class _Found(IntEnum):
    """How a part of a pattern matches: by a value of the event, or only by what the event does not have."""

    NOT = 0
    BY_ABSENCE = 1
    BY_VALUE = 2


@dataclass(frozen=True, slots=True)
class _Leaf:
    """What is asked of one field: one of `tests`, or that it is not there."""

    path: str
    steps: tuple[str, ...]
    written: Sequence[Any]
    tests: tuple[_Test, ...]
    may_be_absent: bool


_Tree: TypeAlias = "dict[str, _Tree | _Leaf]"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why an event does not match: of the field at `path`, none of `values` is what `pattern` asks for.

    `path` is empty where each field matches alone, but not all of them in one element of a list. Of the values the
    first ten are here, and the first 200 characters of a text.
    """

    path: str
    pattern: Any
    values: list[Any]


@dataclass(frozen=True, slots=True)
class EventPattern:
    """A pattern that was checked. Two are equal if they are written alike, white space and order of fields aside."""

    text: str
    _alternatives: tuple[tuple[_Leaf, ...], ...] = field(repr=False, compare=False)
    _trees: tuple[_Tree, ...] = field(repr=False, compare=False)

    @classmethod
    def read(cls, value: object, name: str = "filter") -> EventPattern:
        """Return the pattern that a JSON object is, or the text of one.

        Raises `InvalidInput`. Its field is the path of the mistake, such as ``filter.metadata.order[0].prefix``.

        >>> EventPattern.read({"order": [{"numeric": [">", 1000]}]}).matches({"order": 1017})
        True
        """
        content = _from_text(value, name) if isinstance(value, str) else value
        if not isinstance(content, Mapping):
            _refuse(name, 'must be an object, such as {"metadata": {"order": [1017]}}')
        text = _canonical(content, name)
        if _levels(content) > MAX_LEVELS:
            _refuse(name, f"must have at most {MAX_LEVELS} objects and lists within each other")
        alternatives = [tuple(fields.values()) for fields in _read_object(content, name, (), in_or=False)]
        return cls(text, tuple(alternatives), tuple(map(_tree, alternatives)))

    def to_json(self) -> dict[str, Any]:
        """Return the pattern as a JSON object."""
        content: dict[str, Any] = json.loads(self.text)
        return content

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Return whether an event matches; no event makes it raise."""
        return any(_match(tree, event) for tree in self._trees)

    def mismatches(self, event: Mapping[str, Any]) -> list[Mismatch]:
        """Return what keeps an event from matching, of the alternative that comes nearest; nothing if it matches."""
        if self.matches(event):
            return []
        lacking = [
            [
                Mismatch(leaf.path, list(leaf.written), _shown(event, leaf.steps))
                for leaf in leaves
                if not _match(_tree([leaf]), event)
            ]
            for leaves in self._alternatives
        ]
        nearest = min(lacking, key=len)
        return nearest or [Mismatch("", self.to_json(), [])]


def _refuse(path: str, reason: str) -> NoReturn:
    raise InvalidInput(path, reason)


def _from_text(text: str, name: str) -> Any:
    if len(text) > _MAX_TEXT:
        _refuse(name, f"must be at most {MAX_BYTES} bytes of JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [key for key, _ in pairs]
            twice = next(key for key in names if names.count(key) > 1)
            _refuse(name, f"names {twice!r} twice in one object")
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        _refuse(name, f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except (ValueError, RecursionError):
        _refuse(name, "is no JSON that can be read: its numbers are too long, or it is nested too deeply")


def _canonical(content: Mapping[str, Any], name: str) -> str:
    """Return a pattern as JSON, or raise `InvalidInput` if it is too long; other types are refused later, by name."""
    try:
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=str)
        length = len(text.encode())
    except UnicodeEncodeError:
        _refuse(name, "has half of a surrogate pair, which is no character")
    except (TypeError, ValueError, RecursionError):
        _refuse(
            name, "is no JSON: a name that is no text, a number that is too long, or it is nested too deeply"
        )
    if length > MAX_BYTES:
        _refuse(name, f"must be at most {MAX_BYTES} bytes of JSON: it has {length}")
    return text


def _levels(content: Mapping[str, Any]) -> int:
    """Return how many objects and lists are within each other, at the deepest place."""
    levels, inner = 0, list[Any]([content])
    while inner:
        levels += 1
        inside = (each for one in inner for each in (one.values() if isinstance(one, Mapping) else one))
        inner = [each for each in inside if isinstance(each, Mapping | list | tuple)]
    return levels


def _read_object(
    content: Mapping[str, Any], path: str, steps: tuple[str, ...], *, in_or: bool
) -> list[dict[tuple[str, ...], _Leaf]]:
    """Return the alternatives that an object of a pattern amounts to: the fields of each."""
    if not content:
        _refuse(path, "must not be empty")
    alternatives: list[dict[tuple[str, ...], _Leaf]] = [{}]
    for name, value in content.items():
        if not isinstance(name, str):
            _refuse(path, "must have texts for names")
        if not name:
            _refuse(path, "must have a name for each field")
        here = f"{path}.{name}"
        if name == _OR:
            alternatives = _both(alternatives, _read_or(value, here, steps), here)
            continue
        if in_or and name in _RESERVED:
            _refuse(here, f"{name} is not a field's name within {_OR}")
        below = (*steps, *name.split("."))
        if len(below) > MAX_STEPS:
            _refuse(here, f"is more than {MAX_STEPS} names deep")
        if isinstance(value, Mapping):
            read = _read_object(value, here, below, in_or=in_or)
        elif isinstance(value, list | tuple):
            read = [{below: _read_leaf(value, here, below)}]
        else:
            _refuse(here, "must be a list of what is looked for, or an object")
        alternatives = _both(alternatives, read, here)
    return alternatives


def _read_or(value: object, path: str, steps: tuple[str, ...]) -> list[dict[tuple[str, ...], _Leaf]]:
    if not isinstance(value, list | tuple) or len(value) < 2:
        _refuse(path, "must be a list of at least two objects")
    found: list[dict[tuple[str, ...], _Leaf]] = []
    for number, each in enumerate(value):
        here = f"{path}[{number}]"
        if not isinstance(each, Mapping):
            _refuse(here, "must be an object")
        found += _read_object(each, here, steps, in_or=True)
        if len(found) > MAX_ALTERNATIVES:
            _refuse(path, f"must amount to at most {MAX_ALTERNATIVES} alternatives")
    return found


def _both(
    first: list[dict[tuple[str, ...], _Leaf]], second: list[dict[tuple[str, ...], _Leaf]], path: str
) -> list[dict[tuple[str, ...], _Leaf]]:
    """Return the alternatives in which both hold."""
    if len(first) * len(second) > MAX_ALTERNATIVES:
        _refuse(path, f"must amount to at most {MAX_ALTERNATIVES} alternatives, with every {_OR} beside it")
    if sum(map(len, first)) * len(second) + sum(map(len, second)) * len(first) > MAX_FIELDS:
        _refuse(path, f"must ask of at most {MAX_FIELDS} fields, in all alternatives together")
    for one in first:
        for other in second:
            for steps in other:
                if any(steps[: len(known)] == known or known[: len(steps)] == steps for known in one):
                    _refuse(path, f"asks twice of {'.'.join(steps)}, or of a field and of those within it")
    return [one | other for one in first for other in second]


def _read_leaf(values: Sequence[Any], path: str, steps: tuple[str, ...]) -> _Leaf:
    if not values:
        _refuse(path, "must not be empty")
    tests: list[_Test] = []
    may_be_absent = False
    for number, each in enumerate(values):
        here = f"{path}[{number}]"
        if isinstance(each, Mapping) and "exists" in each:
            wanted = _only(each, here)[1]
            if not isinstance(wanted, bool):
                _refuse(f"{here}.exists", "must be true or false")
            may_be_absent |= not wanted
            if wanted:
                tests.append(lambda _: True)
        elif isinstance(each, Mapping):
            tests.append(_read_operator(each, here))
        else:
            tests.append(_equal_to(each, here))
    return _Leaf(".".join(steps), steps, values, tuple(tests), may_be_absent)


def _only(operator: Mapping[str, Any], path: str) -> tuple[str, Any]:
    if len(operator) != 1:
        _refuse(path, "must have one operator")
    ((name, value),) = operator.items()
    return name, value


def _read_operator(operator: Mapping[str, Any], path: str) -> _Test:
    name, value = _only(operator, path)
    here = f"{path}.{name}"
    match name:
        case "exactly":
            return _of_text(str.__eq__, _text(value, here))
        case "prefix" | "suffix":
            if isinstance(value, Mapping):
                inner, text = _only(value, here)
                if inner != "equals-ignore-case":
                    _refuse(f"{here}.{inner}", "must be equals-ignore-case, or the text itself")
                return _text_test(name, _text(text, f"{here}.{inner}"), here, ignore_case=True)
            return _text_test(name, _text(value, here), here)
        case "equals-ignore-case" | "wildcard":
            return _text_test(name, _text(value, here), here)
        case "numeric":
            return _numeric(value, here)
        case "cidr":
            return _cidr(value, here)
        case "anything-but":
            return _anything_but(value, here)
        case _:
            _refuse(here, f"is no operator: there are {', '.join(sorted(_RESERVED))}")


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        _refuse(path, "must be a text")
    return value


def _of_text(test: Callable[[str, str], bool], wanted: str) -> _Test:
    return lambda value: isinstance(value, str) and test(value, wanted)


def _text_test(name: str, text: str, path: str, *, ignore_case: bool = False) -> _Test:
    """Return the test of an operator that looks at a text."""
    if name == "wildcard":
        parts = _parts(text, path)
        return lambda value: isinstance(value, str) and _fits(value, parts)
    if name == "equals-ignore-case":
        return _of_text(lambda value, wanted: value.casefold() == wanted, text.casefold())
    has = str.startswith if name == "prefix" else str.endswith
    if ignore_case:
        return _of_text(lambda value, wanted: has(value.casefold(), wanted), text.casefold())
    return _of_text(has, text)


def _parts(text: str, path: str) -> list[str]:
    """Return what stands between the stars of a wildcard; ``\\*`` and ``\\\\`` stand for the characters themselves."""
    parts, escaped, after_star = [""], False, False
    for character in text:
        if escaped:
            if character not in "*\\":
                _refuse(path, "has a backslash before another character than * and \\")
            parts[-1] += character
        elif character == "*":
            if after_star:
                _refuse(path, "has two * in a row")
            parts.append("")
        elif character != "\\":
            parts[-1] += character
        after_star = character == "*" and not escaped
        escaped = character == "\\" and not escaped
    if escaped:
        _refuse(path, "ends with a backslash")
    if len(parts) - 1 > MAX_STARS:
        _refuse(path, f"must have at most {MAX_STARS} *")
    return parts


def _fits(value: str, parts: list[str]) -> bool:
    """Return whether a text has the parts in their order, the first at its start and the last at its end.

    The first place of each part is the best one, so that none is looked for twice.
    """
    if len(parts) == 1:
        return value == parts[0]
    first, *middle, last = parts
    end = len(value) - len(last)
    if not (value.startswith(first) and value.endswith(last)):
        return False
    at = len(first)
    for part in middle:
        found = value.find(part, at, max(end, 0))
        if found < 0:
            return False
        at = found + len(part)
    return at <= end


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: object, path: str) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        _refuse(path, "must be a number")
    if not (value == 0 or _SMALLEST <= abs(value) < _LARGEST) or not math.isfinite(value):
        _refuse(path, f"must be 0, or a number between {_SMALLEST:g} and {_LARGEST:g}, or one so far below 0")
    return value


def _equal_to(wanted: object, path: str) -> _Test:
    if wanted is None or isinstance(wanted, bool):
        return lambda value: value is wanted
    if isinstance(wanted, str):
        return _of_text(str.__eq__, wanted)
    if not isinstance(wanted, int | float):
        _refuse(path, "must be a text, a number, true, false, null, or an object with an operator")
    number = _number(wanted, path)
    return lambda value: _is_number(value) and value == number


def _numeric(terms: object, path: str) -> _Test:
    """Return the test of one comparison, or of a range: its lower bound first, then its upper one."""
    if not isinstance(terms, list | tuple) or len(terms) not in (2, 4):
        _refuse(path, 'must be a list such as [">", 0] or [">", 0, "<=", 5]')
    operator, first = terms[0], _number(terms[1], f"{path}[1]")
    test = _comparison(operator, first, f"{path}[0]", ("=", "<", "<=", ">", ">="))
    if len(terms) == 2:
        return test
    if operator not in (">", ">="):
        _refuse(f"{path}[0]", "must be > or >=, where a range has two bounds")
    second = _number(terms[3], f"{path}[3]")
    upper = _comparison(terms[2], second, f"{path}[2]", ("<", "<="))
    if not first < second:
        _refuse(f"{path}[3]", "must be more than the lower bound")
    return lambda value: test(value) and upper(value)


def _comparison(operator: object, number: int | float, path: str, allowed: tuple[str, ...]) -> _Test:
    if operator not in allowed:
        _refuse(path, f"must be one of {' '.join(allowed)}")
    match operator:
        case "=":
            return lambda value: _is_number(value) and value == number
        case "<":
            return lambda value: _is_number(value) and value < number
        case "<=":
            return lambda value: _is_number(value) and value <= number
        case ">":
            return lambda value: _is_number(value) and value > number
        case _:
            return lambda value: _is_number(value) and value >= number


def _cidr(value: object, path: str) -> _Test:
    text = _text(value, path)
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        _refuse(path, "must be a network such as 10.0.0.0/8 or 2001:db8::/32")
    length = text.partition("/")[2]
    if not length.isdigit():
        # Python takes a mask, too, and for an address alone its own network.
        _refuse(path, "must be a network with the length of its prefix, such as 10.0.0.0/8")

    def test(value: Any) -> bool:
        try:
            return isinstance(value, str) and ip_address(value) in network
        except ValueError:
            return False

    return test


def _anything_but(value: object, path: str) -> _Test:
    """Return the test that a value, of whatever type, is none of these."""
    if isinstance(value, Mapping):
        name, inner = _only(value, path)
        here = f"{path}.{name}"
        if name not in ("prefix", "suffix", "equals-ignore-case", "wildcard"):
            _refuse(here, "must be prefix, suffix, equals-ignore-case or wildcard")
        tests = [_text_test(name, _non_empty(each, name, place), place) for each, place in _each(inner, here)]
    else:
        given = _each(value, path)
        if not (
            all(isinstance(each, str) for each, _ in given) or all(_is_number(each) for each, _ in given)
        ):
            _refuse(path, "must be a text, a number, a list of texts or one of numbers, or an object")
        tests = [_equal_to(each, place) for each, place in given]
    return lambda value: not any(test(value) for test in tests)


def _each(value: object, path: str) -> list[tuple[Any, str]]:
    """Return a value, or each of a list of them, with its path."""
    if not isinstance(value, list | tuple):
        return [(value, path)]
    if not value:
        _refuse(path, "must not be empty")
    return [(each, f"{path}[{number}]") for number, each in enumerate(value)]


def _non_empty(value: object, name: str, path: str) -> str:
    text = _text(value, path)
    if not text and name in ("prefix", "suffix"):
        _refuse(path, "must not be empty: every text has it")
    return text


def _tree(leaves: Sequence[_Leaf]) -> _Tree:
    root: _Tree = {}
    for leaf in leaves:
        node = root
        for step in leaf.steps[:-1]:
            below = node.setdefault(step, {})
            assert isinstance(below, dict), "a field is asked of, and fields within it"
            node = below
        node[leaf.steps[-1]] = leaf
    return root


def _match(tree: _Tree, node: Any) -> _Found:
    """Return how a part of an event matches a part of a pattern.

    Of a list one element must match as a whole. By what is not there alone an element does not: then none may have it.
    """
    if isinstance(node, list | tuple):
        found = [_match(tree, each) for each in _flat(node) if isinstance(each, Mapping)]
        if not found:
            return _match(tree, {})
        return _Found.BY_VALUE if _Found.BY_VALUE in found else min(found)
    fields = node if isinstance(node, Mapping) else {}
    best = _Found.BY_ABSENCE
    for step, below in tree.items():
        child = _child(fields, step)
        found_here = _match_leaf(below, child) if isinstance(below, _Leaf) else _match(below, child)
        if found_here is _Found.NOT:
            return _Found.NOT
        best = max(best, found_here)
    return best


def _match_leaf(leaf: _Leaf, node: Any) -> _Found:
    is_there = False
    for value in _values(node):
        is_there = True
        if any(test(value) for test in leaf.tests):
            return _Found.BY_VALUE
    return _Found.BY_ABSENCE if leaf.may_be_absent and not is_there else _Found.NOT


_NOTHING: Final[list[Any]] = []
"""What stands for a field that is not there: an empty list has no values either."""


def _child(fields: Mapping[str, Any], step: str) -> Any:
    """Return what an object has under a name; ``a.b`` in an object counts as ``b`` in its ``a``."""
    dotted = {
        name[len(step) + 1 :]: value
        for name, value in fields.items()
        if isinstance(name, str) and name.startswith(f"{step}.")
    }
    if not dotted:
        return fields.get(step, _NOTHING)
    if step not in fields:
        return dotted
    own = fields[step]
    return {**dotted, **own} if isinstance(own, Mapping) else [own, dotted]


def _flat(node: Any) -> Iterator[Any]:
    """Yield what is in a list, and in the lists in it, however deep they are."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list | tuple):
            waiting += reversed(each)
        else:
            yield each


def _values(node: Any) -> Iterator[Any]:
    return (each for each in _flat(node) if not isinstance(each, Mapping))


def _shown(event: Mapping[str, Any], steps: Sequence[str]) -> list[Any]:
    """Return the values of a field, as many and as long as they are shown."""
    nodes: list[Any] = [event]
    for step in steps:
        nodes = [_child(each, step) for each in _flat(nodes) if isinstance(each, Mapping)]
    shown: list[Any] = []
    for value in _values(nodes):
        if len(shown) == _SHOWN:
            break
        shown.append(value[:_SHOWN_CHARS] if isinstance(value, str) else value)
    return shown

"""JMESPath (https://jmespath.org/specification.html) whose evaluation is bounded, and whose failures are values.

An expression is written by a user and evaluated on what a provider sends, so either may be anything. Its text is
bounded, and so is the work, which is counted while it is done: each visit of a node is a step, and what a function or
an operator walks at once is charged before. No clock is involved: what one machine reads, every machine reads.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import jmespath
from jmespath import exceptions, functions, visitor

from tunehook.providers.payload import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    MAX_DIGITS,
    UnreadablePayloadError,
    parse_text,
)

_Function = TypeVar("_Function", bound=Callable[..., Any])

MAX_LENGTH: Final = 1_000
"""Of an expression, in characters."""

MAX_LEVELS: Final = 40
"""How deep an expression may nest."""

MAX_STEPS: Final = 10_000
"""Of one evaluation of an expression."""

MAX_ANSWER_STEPS: Final = 25_000
"""Of all evaluations for one answer together."""

_CALL_STEPS: Final = 3
_CHARS_A_STEP: Final = 256
_FOUND_CHARS_A_STEP: Final = 1_024
_WRITTEN_CHARS_A_STEP: Final = 64
_PARSED_CHARS_A_STEP: Final = 8
_NEEDLE: Final = 100
_SORT_LEVELS: Final = MAX_STEPS.bit_length()
_BIGGEST: Final = 10**MAX_DIGITS
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]|\\u[dD][89a-fA-F]")
_SELECTING: Final = frozenset(
    {
        *("field", "subexpression", "index", "index_expression", "identity", "current", "literal"),
        *("or_expression", "and_expression", "not_expression", "comparator", "pipe"),
    }
)
"""The nodes that make nothing: what they give is a part of the answer, a literal or a boolean."""


@dataclass(frozen=True, slots=True)
class NoValue:
    """What an expression gives that cannot be evaluated; `because` is a phrase."""

    because: str

    def __str__(self) -> str:
        return f"no value, because {self.because}"


class Steps:
    """How many steps are left for one answer."""

    __slots__ = ("left",)

    def __init__(self, left: int = MAX_ANSWER_STEPS) -> None:
        self.left = left


class Expression:
    """A compiled expression. Raise `ValueError` with the reason if the text is none, or beyond a limit.

    >>> Expression("data.status || 'none'").evaluate({"data": {}}, Steps())
    'none'
    """

    __slots__ = ("_makes", "_path", "_tree", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._tree = _compiled(text)
        nodes = _checked(self._tree)
        self._path = _path_of(self._tree)
        self._makes = not nodes <= _SELECTING

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(self, value: Any, steps: Steps) -> Any:
        """Return what the expression gives for a JSON value: JSON, or a `NoValue`. Raises nothing.

        A text of 2 MiB or 10,000 values is the most that it gives, unless that is a part of the answer itself.
        """
        if self._path is not None:
            steps.left -= 1
            return _at(self._path, value) if steps.left >= 0 else _ANSWER_SPENT
        allowed = min(MAX_STEPS, steps.left)
        interpreter = _Interpreter(allowed)
        try:
            found = interpreter.visit(self._tree, value)
            if self._makes:
                _check_output(found, interpreter)
        except _Spent:
            found = _SPENT if allowed == MAX_STEPS else _ANSWER_SPENT
        except Exception as error:  # noqa: BLE001 - whatever an expression raises is its value
            found = NoValue(_because(error))
        steps.left -= allowed - max(interpreter.left, 0)
        return found


_SPENT: Final = NoValue(f"it takes more than {MAX_STEPS} steps")
_ANSWER_SPENT: Final = NoValue(
    f"the expressions of this answer take more than {MAX_ANSWER_STEPS} steps together"
)


class _Spent(Exception):
    """The steps are used up."""


class _Unfit(Exception):
    """What an expression gives is no JSON that can be kept; the message says what it is."""


class _Interpreter(visitor.TreeInterpreter):  # type: ignore[misc]
    """Evaluates a tree once, and counts."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self._dict_cls = dict
        self._functions = _FUNCTIONS

    def charge(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise _Spent

    def charge_text(self, characters: int, a_step: int = _CHARS_A_STEP) -> None:
        if characters >= a_step:
            self.charge(characters // a_step)

    def charge_walk(self, value: Any, a_step: int = _CHARS_A_STEP) -> None:
        """Charge for all that a value holds."""
        waiting = [value]
        while waiting:
            each = waiting.pop()
            if type(each) is str:
                self.charge_text(len(each), a_step)
            elif type(each) is list:
                self.charge(len(each))
                waiting.extend(each)
            elif type(each) is dict:
                self.charge(len(each))
                waiting.extend(each)
                waiting.extend(each.values())

    def visit(self, node: Mapping[str, Any], value: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _Spent
        return _VISITS[node["type"]](self, node, value)

    def visit_comparator(self, node: Mapping[str, Any], value: Any) -> Any:
        left, right = (self.visit(child, value) for child in node["children"])
        if type(left) is type(right):
            if type(left) is str:
                self.charge_text(min(len(left), len(right)))
            elif type(left) in (list, dict):
                self.charge_walk(left)
        name = node["value"]
        if name not in ("eq", "ne") and not (_is_ordered(left) and _is_ordered(right)):
            return None
        return self.COMPARATOR_FUNC[name](left, right)

    def visit_flatten(self, node: Mapping[str, Any], value: Any) -> Any:
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        flat: list[Any] = []
        for each in base:
            self.charge(len(each) + 1 if isinstance(each, list) else 1)
            if isinstance(each, list):
                flat.extend(each)
            else:
                flat.append(each)
        return flat

    def visit_slice(self, node: Mapping[str, Any], value: Any) -> Any:
        if not isinstance(value, list):
            return None
        part = slice(*node["children"])
        self.charge(len(range(*part.indices(len(value)))))
        return value[part]

    def visit_function_expression(self, node: Mapping[str, Any], value: Any) -> Any:
        name = node["value"]
        self.charge(_CALL_STEPS)
        arguments = [self.visit(child, value) for child in node["children"]]
        _charge_call(self, name, arguments)
        return self._functions.call_function(name, arguments)


_VISITS: Final[Mapping[str, Callable[[_Interpreter, Mapping[str, Any], Any], Any]]] = {
    name.removeprefix("visit_"): getattr(_Interpreter, name)
    for name in dir(_Interpreter)
    if name.startswith("visit_")
}


def _takes(*types: str) -> Callable[[_Function], _Function]:
    """Give a function the types of its arguments, by which JMESPath checks them."""

    def mark(function: _Function) -> _Function:
        vars(function)["signature"] = tuple({"types": [each]} for each in types)
        return function

    return mark


class _Functions(functions.Functions):  # type: ignore[misc]
    """JMESPath's functions, and those that answers of task APIs need besides."""

    @_takes("string")
    def _func_from_json(self, text: str) -> Any:
        """Return what a text holds as JSON, null if it holds none."""
        try:
            return parse_text(text)
        except UnreadablePayloadError:
            return None

    @_takes("string")
    def _func_lower(self, text: str) -> str:
        return text.lower()

    @_takes("string", "string")
    def _func_split(self, text: str, separator: str) -> list[str]:
        return text.split(separator)

    @_takes("object")
    def _func_items(self, value: Mapping[str, Any]) -> list[list[Any]]:
        """Return the pairs of an object, each a list of name and value."""
        return [[name, each] for name, each in value.items()]

    def _create_key_func(self, expref: Any, allowed_types: Sequence[str], function_name: str) -> Any:
        key_of = super()._create_key_func(expref, allowed_types, function_name)

        def charged(each: Any) -> Any:
            key = key_of(each)
            if type(key) is str:
                expref.interpreter.charge_text(len(key) * _SORT_LEVELS)
            return key

        return charged


_FUNCTIONS: Final = _Functions()


def _charge_call(interpreter: _Interpreter, name: str, arguments: Sequence[Any]) -> None:
    """Charge for what a function walks without visits, before it does."""
    first = arguments[0] if arguments else None
    second = arguments[1] if len(arguments) > 1 else None
    match name:
        case "length" | "type" | "not_null" | "to_array" | "abs" | "ceil" | "floor":
            return
        case "to_string":
            if type(first) is not str:
                interpreter.charge_walk(first, _WRITTEN_CHARS_A_STEP)
        case "to_number" | "from_json":
            if type(first) is str:
                interpreter.charge_text(len(first), _PARSED_CHARS_A_STEP)
        case "lower":
            if type(first) is str:
                interpreter.charge_text(len(first), _WRITTEN_CHARS_A_STEP)
        case "starts_with" | "ends_with":
            if type(second) is str:
                interpreter.charge_text(len(second))
        case "contains" if type(first) is str:
            _charge_search(interpreter, first, second)
        case "contains" if type(second) is str and type(first) is list:
            interpreter.charge(len(first))
            interpreter.charge_text(len(first) * len(second))
        case "contains":
            interpreter.charge_walk(first)
        case "split":
            _charge_search(interpreter, first, second)
            if type(first) is str and type(second) is str and second:
                interpreter.charge(first.count(second))
        case "join":
            if type(first) is str and type(second) is list:
                interpreter.charge(len(second))
                interpreter.charge_text(len(first) * len(second) + sum(map(len, _texts(second))))
        case _:
            levels = _SORT_LEVELS if name == "sort" else 1
            for each in arguments:
                if type(each) in (list, dict):
                    interpreter.charge(len(each) * levels)
                if type(each) is list:
                    interpreter.charge_text(sum(map(len, _texts(each))) * levels)
                elif type(each) is str:
                    interpreter.charge_text(len(each))


def _charge_search(interpreter: _Interpreter, text: Any, searched: Any) -> None:
    if type(text) is str and type(searched) is str:
        interpreter.charge_text(len(text) * min(len(searched), _NEEDLE), _FOUND_CHARS_A_STEP)


def _texts(values: Sequence[Any]) -> Iterator[str]:
    return (each for each in values if type(each) is str)


def _is_ordered(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _check_output(value: Any, interpreter: _Interpreter) -> None:
    """Raise `_Unfit` if a value is no JSON within the limits; what it holds is charged."""
    characters = 0
    waiting = [(value, 0)]
    while waiting:
        each, depth = waiting.pop()
        kind = type(each)
        if kind is str:
            characters += len(each)
            if characters > MAX_BODY_BYTES:
                raise _Unfit("it gives more than 2 MiB of text")
        elif kind is list or kind is dict:
            if depth == MAX_DEPTH:
                raise _Unfit(f"it gives what nests deeper than {MAX_DEPTH} levels")
            interpreter.charge(len(each))
            inner: list[Any] = [*each, *each.values()] if kind is dict else each
            waiting.extend((child, depth + 1) for child in inner)
        else:
            _check_scalar(each)


def _check_scalar(value: Any) -> None:
    kind = type(value)
    if value is None or kind is bool or (kind is int and -_BIGGEST < value < _BIGGEST):
        return
    if kind is float and math.isfinite(value):
        return
    numeric = kind is int or kind is float
    raise _Unfit(
        "it gives a number that JSON cannot hold" if numeric else "it gives an expression and no value"
    )


def _because(error: Exception) -> str:
    """Return why an evaluation failed, without any of the answer's values."""
    if isinstance(error, _Unfit):
        return str(error)
    if isinstance(error, exceptions.JMESPathTypeError):
        expected = " or ".join(error.expected_types)
        actual = functions.TYPES_MAP.get(error.actual_type, error.actual_type)
        return f"{error.function_name}() takes {expected}, and was given {actual}"
    if isinstance(error, TypeError):
        return "it compares or searches values of different types"
    return f"it cannot be evaluated ({type(error).__name__})"


def _compiled(text: str) -> Mapping[str, Any]:
    if not text.strip():
        raise ValueError("is empty")
    if _SURROGATE.search(text):
        raise ValueError("has half a character: write it as itself, without \\u")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"has {len(text)} characters, more than {MAX_LENGTH}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # about literals that are no JSON
            tree: Mapping[str, Any] = jmespath.compile(text).parsed
    except exceptions.LexerError as error:
        raise ValueError(f"does not compile: {error.message} at character {error.lex_position + 1}") from None
    except exceptions.IncompleteExpressionError:
        raise ValueError("does not compile: something is missing at its end") from None
    except exceptions.ParseError as error:
        if not error.token_value:  # it stands at the end
            raise ValueError("does not compile: something is missing at its end") from None
        where = f"at character {error.lex_position + 1}"
        raise ValueError(f"does not compile: {error.token_value!r} is not expected {where}") from None
    except RecursionError:
        raise ValueError(f"nests deeper than {MAX_LEVELS} levels") from None
    except Warning:
        raise ValueError("has a literal that is no JSON: write a text as 'text'") from None
    except Exception as error:  # noqa: BLE001 - the library's lexer and parser raise more than their own errors
        raise ValueError(f"does not compile ({type(error).__name__})") from None
    return tree


def _checked(tree: Mapping[str, Any]) -> set[str]:
    """Return the types of a tree's nodes; raise ValueError for what could never be evaluated."""
    types: set[str] = set()
    waiting = [(tree, 1)]
    while waiting:
        node, level = waiting.pop()
        if level > MAX_LEVELS:
            raise ValueError(f"nests deeper than {MAX_LEVELS} levels")
        kind = node["type"]
        types.add(kind)
        if kind == "function_expression":
            _check_call(node["value"], len(node["children"]))
        elif kind == "literal":
            _check_literal(node["value"])
        elif kind == "slice":
            if node["children"][2] == 0:
                raise ValueError("has a slice whose step is 0")
            continue
        waiting.extend((child, level + 1) for child in node["children"])
    return types


def _check_call(name: str, count: int) -> None:
    known = _Functions.FUNCTION_TABLE.get(name)
    if known is None:
        raise ValueError(f"calls {name}(), which is no function")
    signature = known["signature"]
    is_variadic = bool(signature) and signature[-1].get("variadic", False)
    if count < len(signature) or (count > len(signature) and not is_variadic):
        least = " or more" if is_variadic else ""
        raise ValueError(f"calls {name}() with {count} arguments; it takes {len(signature)}{least}")


def _check_literal(value: Any) -> None:
    interpreter = _Interpreter(MAX_STEPS)
    try:
        _check_output(value, interpreter)
    except _Unfit:
        raise ValueError("has a literal that is no JSON") from None


def _path_of(tree: Mapping[str, Any]) -> tuple[str | int, ...] | None:
    """Return the names and positions that an expression goes through, if it does nothing else."""
    match tree["type"]:
        case "field" | "index":
            return (tree["value"],)
        case "identity" | "current":
            return ()
        case "subexpression" | "index_expression":
            parts = [_path_of(child) for child in tree["children"]]
            if any(part is None for part in parts):
                return None
            return tuple(name for part in parts if part is not None for name in part)
    return None


def _at(path: tuple[str | int, ...], value: Any) -> Any:
    for name in path:
        if type(name) is str:
            if type(value) is not dict:
                return None
            value = value.get(name)
        elif type(value) is list and -len(value) <= name < len(value):  # type: ignore[operator]
            value = value[name]  # type: ignore[index]
        else:
            return None
    return value

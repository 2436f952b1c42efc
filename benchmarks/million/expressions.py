"""DynamoDB's expressions, as `tunehook.aws.table` writes them: conditions and updates of top-level attributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, TypeAlias

Attributes: TypeAlias = Mapping[str, Any]
"""An item in DynamoDB's attribute values, or the names and values of an expression."""

Operand: TypeAlias = Callable[[Attributes, Attributes, Attributes], Any]
"""Takes an item, the expression's names and its values; returns an attribute value, None where there is none."""

_TOKEN = re.compile(r"\s*([#:][A-Za-z0-9_\-.]+|<>|<=|>=|[=<>(),+]|[A-Za-z_]+)")

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


@cache
def condition(text: str) -> Callable[[Attributes, Attributes, Attributes], bool]:
    """Return what says whether an item meets a condition; it takes the item, the names and the values."""
    parser = _Parser(text)
    holds = parser.either()
    parser.end()
    return lambda item, names, values: bool(holds(item, names, values))


@cache
def _update(text: str) -> tuple[tuple[tuple[str, Operand], ...], tuple[str, ...]]:
    """Return the assignments and the removed placeholders of an update."""
    parser = _Parser(text)
    sets: list[tuple[str, Operand]] = []
    removed: list[str] = []
    while (clause := parser.next_or_none()) is not None:
        while True:
            target = parser.next()
            if clause == "SET":
                parser.expect("=")
                value = parser.operand()
                sets.append((target, _sum(value, parser.operand()) if parser.take("+") else value))
            elif clause == "REMOVE":
                removed.append(target)
            else:
                raise NotImplementedError(f"the clause {clause} of an update is not known here")
            if not parser.take(","):
                break
    return tuple(sets), tuple(removed)


def updated(text: str, before: Attributes, names: Attributes, values: Attributes) -> dict[str, Any]:
    """Return an item after an update expression; what it says of the item is of the item before."""
    sets, removed = _update(text)
    after = dict(before)
    for target, operand in sets:
        after[names[target]] = operand(before, names, values)
    for target in removed:
        after.pop(names[target], None)
    return after


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        if "".join(self._tokens) != re.sub(r"\s", "", text):
            raise NotImplementedError(f"the expression {text} is not known here")
        self._at = 0

    def next_or_none(self) -> str | None:
        return self.next() if self._at < len(self._tokens) else None

    def next(self) -> str:
        self._at += 1
        return str(self._tokens[self._at - 1])

    def take(self, token: str) -> bool:
        is_next = self._at < len(self._tokens) and self._tokens[self._at] == token
        self._at += is_next
        return is_next

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise NotImplementedError(f"{token} was expected in an expression")

    def end(self) -> None:
        if self._at != len(self._tokens):
            raise NotImplementedError("an expression goes on where it should end")

    def either(self) -> Operand:
        one = self.both()
        while self.take("OR"):
            one = _or(one, self.both())
        return one

    def both(self) -> Operand:
        one = self.one()
        while self.take("AND"):
            one = _and(one, self.one())
        return one

    def one(self) -> Operand:
        if self.take("NOT"):
            return _not(self.one())
        if self.take("("):
            inner = self.either()
            self.expect(")")
            return inner
        if self.take("attribute_exists"):
            return _exists(self._argument())
        if self.take("attribute_not_exists"):
            return _not(_exists(self._argument()))
        if self.take("contains"):
            self.expect("(")
            whole = self.operand()
            self.expect(",")
            part = self.operand()
            self.expect(")")
            return _contains(whole, part)
        left = self.operand()
        if self.take("BETWEEN"):
            lowest = self.operand()
            self.expect("AND")
            return _and(_compared(">=", left, lowest), _compared("<=", left, self.operand()))
        if self.take("IN"):
            self.expect("(")
            among = [self.operand()]
            while self.take(","):
                among.append(self.operand())
            self.expect(")")
            return lambda *given: any(_equal(left(*given), each(*given)) for each in among)
        return _compared(self.next(), left, self.operand())

    def operand(self) -> Operand:
        token = self.next()
        if token.startswith("#"):
            return lambda item, names, _: item.get(names[token])
        if token.startswith(":"):
            return lambda _, __, values: values[token]
        if token == "if_not_exists":
            self.expect("(")
            found = self.operand()
            self.expect(",")
            default = self.operand()
            self.expect(")")
            return lambda *given: default(*given) if found(*given) is None else found(*given)
        if token == "list_append":
            self.expect("(")
            first = self.operand()
            self.expect(",")
            second = self.operand()
            self.expect(")")
            return lambda *given: {"L": [*first(*given)["L"], *second(*given)["L"]]}
        raise NotImplementedError(f"{token} of an expression is not known here")

    def _argument(self) -> Operand:
        self.expect("(")
        operand = self.operand()
        self.expect(")")
        return operand


def _sum(one: Operand, other: Operand) -> Operand:
    return lambda *given: {"N": str(sort_key(one(*given)) + sort_key(other(*given)))}


def _or(one: Operand, other: Operand) -> Operand:
    return lambda *given: one(*given) or other(*given)


def _and(one: Operand, other: Operand) -> Operand:
    return lambda *given: one(*given) and other(*given)


def _not(inner: Operand) -> Operand:
    return lambda *given: not inner(*given)


def _exists(operand: Operand) -> Operand:
    return lambda *given: operand(*given) is not None


def _contains(whole: Operand, part: Operand) -> Operand:
    def holds(*given: Attributes) -> bool:
        one, other = whole(*given), part(*given)
        if one is None or other is None:
            return False
        ((kind, values),) = one.items()
        if kind == "L":
            return other in values
        return kind in ("S", "SS") and "S" in other and other["S"] in values

    return holds


def _compared(sign: str, left: Operand, right: Operand) -> Operand:
    if sign == "=":
        return lambda *given: _equal(left(*given), right(*given))
    if sign == "<>":
        return lambda *given: not _equal(left(*given), right(*given))
    compare = _COMPARISONS[sign]

    def holds(*given: Attributes) -> bool:
        one, other = left(*given), right(*given)
        if one is None or other is None or one.keys() != other.keys():
            return False
        return compare(sort_key(one), sort_key(other))

    return holds


def _equal(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return False
    return bool(one == other or ("N" in one and "N" in other and sort_key(one) == sort_key(other)))


def sort_key(attribute: Mapping[str, Any]) -> Any:
    """Return what an attribute value is sorted by among those of its type."""
    ((kind, value),) = attribute.items()
    if kind != "N":
        return value
    return int(value) if value.lstrip("-").isdigit() else Decimal(value)

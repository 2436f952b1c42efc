"""Small changes of a module's source, each of which a test ought to notice.

Nothing here runs or writes anything: a source goes in, changes come out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_COMPARISONS: Final[dict[type[ast.cmpop], ast.cmpop]] = {
    ast.Lt: ast.LtE(),
    ast.LtE: ast.Lt(),
    ast.Gt: ast.GtE(),
    ast.GtE: ast.Gt(),
    ast.Eq: ast.NotEq(),
    ast.NotEq: ast.Eq(),
    ast.Is: ast.IsNot(),
    ast.IsNot: ast.Is(),
    ast.In: ast.NotIn(),
    ast.NotIn: ast.In(),
}
_OPERATORS: Final[dict[type[ast.operator], ast.operator]] = {
    ast.Add: ast.Sub(),
    ast.Sub: ast.Add(),
    ast.Mult: ast.FloorDiv(),
    ast.FloorDiv: ast.Mult(),
    ast.Div: ast.Mult(),
    ast.Mod: ast.Mult(),
    ast.BitOr: ast.BitAnd(),
    ast.BitAnd: ast.BitOr(),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One small change: what stands from byte `start` to byte `end` of the source becomes `after`.

    `lines` are those of the statement that is changed. `names` is empty for what is run when a function is called;
    for what is run once, by the import, it holds what the statement defines: whoever uses it may notice.
    """

    kind: str
    line: int
    before: str
    after: str
    start: int
    end: int
    statement: str
    lines: frozenset[int]
    names: frozenset[str]

    def apply(self, source: str) -> str:
        """Return the source with this change in it."""
        written = source.encode()
        return (written[: self.start] + self.after.encode() + written[self.end :]).decode()


@dataclass(frozen=True, slots=True)
class _Around:
    """What stands around a node: the text and the lines of its statement, and what that defines at import."""

    statement: str
    lines: frozenset[int]
    names: frozenset[str] = frozenset()
    is_called: bool = False


class _Source:
    def __init__(self, text: str) -> None:
        self._written = text.encode()
        self._begins = [0, 0]
        for line in self._written.splitlines(keepends=True):
            self._begins.append(self._begins[-1] + len(line))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._begins[node.lineno] + node.col_offset,
            self._begins[node.end_lineno] + node.end_col_offset,
        )

    def text(self, start: int, end: int) -> str:
        return self._written[start:end].decode()

    def rows(self, first: int, last: int) -> str:
        return self.text(self._begins[first], self._begins[min(last + 1, len(self._begins) - 1)]).strip()


def changes_of(source: str) -> list[Change]:
    """Return every small change of a module, in the order of its lines.

    Comparisons, boolean and arithmetic operators, min and max, constants, defaults, elements of displays, keyword
    arguments, statements, what is returned and raised, and what a handler catches. Docstrings, annotations, imports,
    texts with placeholders and what is for type checkers alone are left as they are.
    """
    return sorted(_Finder(source).found, key=lambda change: (change.start, change.end, change.after))


class _Finder:
    def __init__(self, source: str) -> None:
        self._source = _Source(source)
        self.found: list[Change] = []
        tree = ast.parse(source)
        self._made = {
            target.id
            for node in tree.body
            for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
            if isinstance(target, ast.Name)
        }
        self._body(tree.body, None)

    # What is walked: statements, with what stands around their expressions.

    def _body(self, statements: list[ast.stmt], around: _Around | None) -> None:
        for statement in statements:
            if isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass | ast.Global | ast.Nonlocal):
                continue
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring, of a function as of a constant
            if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
                continue
            self._statement(statement, around)

    def _statement(self, node: ast.stmt, outer: _Around | None) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._function(node, outer)
            return
        if isinstance(node, ast.ClassDef):
            names = frozenset({node.name}) | (outer.names if outer is not None else frozenset())
            for decorator in node.decorator_list:
                self._expression(decorator, self._at(decorator, _Around("", frozenset(), names), mark="@"))
            inner = _Around("", frozenset(), names, outer is not None and outer.is_called)
            for base in node.bases:
                self._expression(base, self._at(base, inner))
            for keyword in node.keywords:
                self._expression(keyword.value, self._at(keyword.value, inner, mark=f"{keyword.arg}="))
            self._body(node.body, inner)
            return
        around = self._around(node, outer)
        if around.is_called:
            self._whole(node, around)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr) and child is not getattr(node, "annotation", None):
                self._expression(child, around)
            elif isinstance(child, ast.withitem):
                self._expression(child.context_expr, around)
            elif isinstance(child, ast.match_case) and child.guard is not None:
                self._expression(child.guard, around)
        for inside in ("body", "orelse", "finalbody"):
            self._body(getattr(node, inside, []), outer)
        for handler in getattr(node, "handlers", []):
            self._handler(handler, around)
            self._body(handler.body, outer)
        for case in getattr(node, "cases", []):
            self._body(case.body, outer)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, outer: _Around | None) -> None:
        assert node.end_lineno is not None
        inside = frozenset(range(node.body[0].lineno, node.end_lineno + 1))
        called = _Around("", inside, is_called=True)
        # `@router.get(...)` is run by the import, and whoever uses the router may notice.
        used = {
            each.id for part in node.decorator_list for each in ast.walk(part) if isinstance(each, ast.Name)
        }
        names = frozenset(used & self._made)
        header = _Around(self._source.rows(node.lineno, node.body[0].lineno - 1), inside, names)
        for decorator in node.decorator_list:
            self._expression(decorator, self._at(decorator, header, mark="@"))
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if isinstance(default, ast.Constant):
                self._constant(default, header, "default")
            elif default is not None:
                self._expression(default, header)
        self._body(node.body, called)

    def _around(self, node: ast.stmt, outer: _Around | None) -> _Around:
        body = getattr(node, "body", None) or getattr(node, "cases", None)
        last = node.end_lineno or node.lineno
        if body:
            first = body[0].pattern if isinstance(body[0], ast.match_case) else body[0]
            last = max(node.lineno, first.lineno - 1)
        defined: set[str] = set()
        for child in ast.walk(node) if outer is None or not outer.is_called else ():
            if isinstance(child, ast.Name | ast.Attribute) and isinstance(child.ctx, ast.Store):
                defined.add(child.id if isinstance(child, ast.Name) else child.attr)
        return _Around(
            self._source.rows(node.lineno, last),
            frozenset(range(node.lineno, last + 1)),
            frozenset(defined) | (outer.names if outer is not None else frozenset()),
            outer is not None and outer.is_called,
        )

    def _at(self, node: ast.expr, around: _Around, mark: str = "") -> _Around:
        text = mark + self._source.text(*self._source.span(node))
        return _Around(text, around.lines, around.names, around.is_called)

    # What is found.

    def _add(self, kind: str, node: ast.expr | ast.stmt, after: str, around: _Around) -> None:
        start, end = self._source.span(node)
        self.found.append(
            Change(
                kind,
                node.lineno,
                self._source.text(start, end),
                after,
                start,
                end,
                around.statement,
                around.lines,
                around.names,
            )
        )

    def _other(self, kind: str, node: ast.expr, after: ast.expr, around: _Around) -> None:
        self._add(kind, node, f"({ast.unparse(after)})", around)

    def _whole(self, node: ast.stmt, around: _Around) -> None:
        match node:
            case ast.Expr() | ast.AugAssign() | ast.Delete():
                if not isinstance(getattr(node, "value", None), ast.Yield | ast.Constant):
                    self._add("del", node, "pass", around)
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                self._add("del", node, "pass", around)
            case ast.Return(value=ast.expr() as value):
                # Who asks for a truth value cannot tell False and None apart.
                if not (isinstance(value, ast.Constant) and value.value in (None, False)):
                    self._add("return", node, "return None", around)
            case ast.Raise():
                self._add("raise", node, "pass", around)

    def _handler(self, handler: ast.ExceptHandler, around: _Around) -> None:
        if handler.type is not None:
            lines = frozenset(range(handler.lineno, handler.body[0].lineno))
            header = self._source.rows(handler.lineno, max(handler.lineno, handler.body[0].lineno - 1))
            self._add(
                "except",
                handler.type,
                "()",
                _Around(header, lines or around.lines, around.names, around.is_called),
            )

    def _expression(self, node: ast.expr, around: _Around) -> None:
        for inside in self._inside(node):
            match inside:
                case ast.Constant():
                    self._constant(inside, around, "const" if around.is_called else "modconst")
                case ast.Compare():
                    for place, operator in enumerate(inside.ops):
                        ops = [*inside.ops]
                        ops[place] = _COMPARISONS[type(operator)]
                        self._other("cmp", inside, ast.Compare(inside.left, ops, inside.comparators), around)
                case ast.BoolOp():
                    other = ast.Or() if isinstance(inside.op, ast.And) else ast.And()
                    self._other("bool", inside, ast.BoolOp(other, inside.values), around)
                    for fewer in _without_one(inside.values):
                        left = fewer[0] if len(fewer) == 1 else ast.BoolOp(inside.op, fewer)
                        self._other("boolop-drop", inside, left, around)
                case ast.BinOp() if type(inside.op) in _OPERATORS:
                    op = _OPERATORS[type(inside.op)]
                    self._other("bin", inside, ast.BinOp(inside.left, op, inside.right), around)
                case ast.UnaryOp(op=ast.Not()):
                    self._other("not", inside, inside.operand, around)
                case ast.IfExp():
                    self._other("ifexp", inside, ast.IfExp(inside.test, inside.orelse, inside.body), around)
                case ast.Call():
                    self._call(inside, around)
                case ast.Tuple(ctx=ast.Load()) | ast.List(ctx=ast.Load()) | ast.Set() if len(inside.elts) > 1:
                    for fewer in _without_one(inside.elts):
                        self._other("elem", inside, _display(inside, fewer), around)
                case ast.Dict() if inside.keys:
                    for place in range(len(inside.keys)):
                        keys = [*inside.keys[:place], *inside.keys[place + 1 :]]
                        values = [*inside.values[:place], *inside.values[place + 1 :]]
                        self._other("elem", inside, ast.Dict(keys, values), around)

    def _call(self, node: ast.Call, around: _Around) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
            other = ast.Name("max" if node.func.id == "min" else "min", ast.Load())
            self._other("minmax", node, ast.Call(other, node.args, node.keywords), around)
        for place, keyword in enumerate(node.keywords):
            if keyword.arg is not None:
                fewer = [*node.keywords[:place], *node.keywords[place + 1 :]]
                self._other("kwdrop", node, ast.Call(node.func, node.args, fewer), around)

    def _constant(self, node: ast.Constant, around: _Around, kind: str) -> None:
        value = node.value
        if isinstance(value, bool):
            self._add(kind, node, f"({not value})", around)
        elif value is None and kind == "default":
            self._add(kind, node, "(0)", around)
        elif isinstance(value, int | float):
            for other in sorted({value + 1, value * 2} - {value}):
                self._add(kind, node, f"({other!r})", around)
        elif isinstance(value, str):
            self._add("str", node, f"({value + 'X'!r})", around)

    def _inside(self, node: ast.expr) -> Iterator[ast.expr]:
        """The expressions of an expression; positions within texts with placeholders are not to be had."""
        if isinstance(node, ast.JoinedStr):
            return
        yield node
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from self._inside(child)
            elif isinstance(child, ast.keyword):
                yield from self._inside(child.value)
            elif isinstance(child, ast.comprehension):
                for part in (child.iter, *child.ifs):
                    yield from self._inside(part)


def _without_one(values: list[ast.expr]) -> Iterator[list[ast.expr]]:
    for place in range(len(values)):
        yield [*values[:place], *values[place + 1 :]]


def _display(node: ast.Tuple | ast.List | ast.Set, elements: list[ast.expr]) -> ast.expr:
    if isinstance(node, ast.Set):
        return ast.Set(elements)
    return type(node)(elements, ast.Load())

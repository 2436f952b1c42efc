import ast

import pytest
from tests.mutants.changes import Change, changes_of


def changed(source: str, kind: str) -> list[str]:
    return [change.apply(source) for change in changes_of(source) if change.kind == kind]


def in_function(line: str) -> str:
    return f"def f(a, b=None):\n    {line}\n"


@pytest.mark.parametrize(
    ("kind", "line", "after"),
    [
        ("cmp", "return a < b", ["return (a <= b)"]),
        ("cmp", "return 1 <= a < b", ["return (1 < a < b)", "return (1 <= a <= b)"]),
        ("cmp", "return a is None", ["return (a is not None)"]),
        ("bool", "return a and b", ["return (a or b)"]),
        ("boolop-drop", "return a and b", ["return (a)", "return (b)"]),
        ("not", "return not a", ["return (a)"]),
        ("bin", "return a + b", ["return (a - b)"]),
        ("ifexp", "return a if b else 0", ["return (0 if b else a)"]),
        ("minmax", "return min(a, b)", ["return (max(a, b))"]),
        ("kwdrop", "return a(b=1)", ["return (a())"]),
        ("const", "return 3", ["return (4)", "return (6)"]),
        ("const", "return True", ["return (False)"]),
        ("str", "return 'é'", ["return ('éX')"]),
        ("elem", "return a, b", ["return ((a,))", "return ((b,))"]),
        ("elem", "return {1: a, 2: b}", ["return ({1: a})", "return ({2: b})"]),
        ("del", "a.b = 1", ["pass"]),
        ("del", "a(b)", ["pass"]),
        ("return", "return a", ["return None"]),
        ("raise", "raise a", ["pass"]),
        ("default", "pass", []),
    ],
)
def test_each_kind_of_change_leaves_a_source_that_can_be_compiled(
    kind: str, line: str, after: list[str]
) -> None:
    sources = changed(in_function(line), kind)
    assert sorted(source.splitlines()[1].strip() for source in sources if kind != "default") == sorted(after)
    for source in sources:
        ast.parse(source)


def test_a_default_and_what_a_handler_catches_are_changed() -> None:
    assert changed("def f(a=None): pass\n", "default") == ["def f(a=(0)): pass\n"]
    source = "def f():\n    try:\n        g()\n    except (A, B):\n        raise\n"
    assert changed(source, "except") == [source.replace("(A, B)", "()")]


def test_a_line_with_wide_characters_is_changed_at_the_right_place() -> None:
    assert changed("def f(a):\n    return '詞', a < 1\n", "cmp") == ["def f(a):\n    return '詞', (a <= 1)\n"]


@pytest.mark.parametrize(
    "source",
    [
        '"""Words."""\n',
        "from a import b\n",
        "def f(a: list[int]) -> bool: ...\n",
        "a: Literal['x']\n",
        "if TYPE_CHECKING:\n    A = 1\n",
        "def f(a):\n    '''Words.'''\n    b = f'{a} of 3'\n",
    ],
)
def test_what_is_not_run_or_only_said_is_left_as_it_is(source: str) -> None:
    assert changes_of(source) == []


def only(source: str, kind: str) -> Change:
    (change,) = [change for change in changes_of(source) if change.kind == kind]
    return change


def test_a_change_knows_its_statement_and_its_lines() -> None:
    source = "def f(a):\n    if (\n        a < 1\n    ):\n        g(\n            a)\n"
    assert (only(source, "cmp").line, only(source, "cmp").lines) == (3, {2, 3, 4})
    assert only(source, "cmp").statement == "if (\n        a < 1\n    ):"
    assert only(source, "del").lines == {5, 6}


def test_what_the_import_runs_is_known_by_the_names_that_it_defines() -> None:
    assert only("MOST = 'x'\n", "str").names == {"MOST"}
    source = "class A:\n    b: str = Field(le=1)\n\n    def c(self):\n        return 'x'\n"
    assert only(source, "kwdrop").names == {"A", "b"}
    assert only(source, "str").names == set()


def test_a_decorator_is_a_statement_of_its_own() -> None:
    source = "@dataclass(frozen=True)\nclass A:\n    pass\n"
    assert only(source, "kwdrop").statement == "@dataclass(frozen=True)"


def test_the_keyword_of_a_class_is_told_with_its_value() -> None:
    source = "class A(Model, frozen=True, strict=True):\n    pass\n"
    assert [change.statement for change in changes_of(source)] == ["frozen=True", "strict=True"]


def test_the_docstring_of_a_constant_is_left_as_it_is() -> None:
    found = changes_of('MOST = 10\n"""What is said of it."""\n')
    assert {change.before for change in found} == {"10"}

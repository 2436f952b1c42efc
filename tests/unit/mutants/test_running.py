"""The whole way, over a tree of two modules and two tests."""

import re
import shutil
from pathlib import Path

import pytest
from tests.mutants.__main__ import Trial, parts_of
from tests.mutants.changes import changes_of
from tests.mutants.copies import Copy
from tests.mutants.drawing import draw
from tests.mutants.excepted import entries, reason_of
from tests.mutants.reach import Reach, Recorded, digest, distance
from tests.mutants.report import Result, Verdict, report, share
from tests.support.template import ROOT

MODULE = "functions/shop/prices.py"
FILE = "tests/unit/shop/test_prices.py"
SOURCE = (
    "MOST = 10\n\n\ndef price(count):\n    return min(count, MOST) if count > 0 else 0\n\n\n"
    "def never():\n    return 1\n"
)
TESTS = (
    "import pytest\nfrom shop.prices import price\n\n\n"
    "@pytest.mark.parametrize(('count', 'is_'), [(3, 3), (11, 10)])\n"
    "def test_price(count, is_):\n    assert price(count) == is_\n\n\n"
    "def test_nothing():\n    pass\n\n\n"
    "def test_that_fails():\n    assert price(1) == 7\n"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in {
        MODULE: SOURCE,
        FILE: TESTS,
        "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["functions", "."]\n'
        'addopts = ["--import-mode=importlib"]\n',
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    (tmp_path / "tests/mutants").mkdir()
    for name in ("child.py", "recording.py"):
        shutil.copy(ROOT / "tests/mutants" / name, tmp_path / "tests/mutants")
    return tmp_path


def test_what_a_test_holds_is_noticed_and_the_tree_is_not_touched(root: Path) -> None:
    found = {
        change.before: change for change in changes_of(SOURCE) if change.kind in ("minmax", "cmp", "modconst")
    }
    (never,) = [change for change in changes_of(SOURCE) if change.kind == "return" and "1" in change.before]
    with Copy(root, shared=()) as copy:
        tests = copy.record(FILE, [MODULE], 600)
        assert {test: ran["lines"] for test, ran in tests.items()} == {
            f"{FILE}::test_price[3-3]": {MODULE: [5]},
            f"{FILE}::test_price[11-10]": {MODULE: [5]},
            f"{FILE}::test_nothing": {},
        }
        reach = Reach({FILE: Recorded("", tests)}, {MODULE: SOURCE}, {FILE: TESTS})
        trial = Trial(reach, 60)
        results = {each: trial.of(copy, MODULE, change) for each, change in found.items()}
        unheld = trial.of(copy, MODULE, never)
        assert (copy.tree / MODULE).read_text() == SOURCE
    assert {each: result.verdict for each, result in results.items()} == {
        "min(count, MOST)": Verdict.NOTICED,
        "10": Verdict.NOTICED,
        "count > 0": Verdict.UNNOTICED,
    }
    assert results["10"].by == f"{FILE}::test_price[11-10]"
    assert unheld.verdict is Verdict.UNNOTICED
    assert (root / MODULE).read_text() == SOURCE
    assert not copy.tree.exists()


CACHED = (
    "from functools import cache\n\n\n@cache\ndef most():\n    return 10\n\n\n"
    "def price(count):\n    return min(count, most())\n"
)


def test_what_is_remembered_is_run_anew_for_each_test_that_is_recorded(root: Path) -> None:
    (root / MODULE).write_text(CACHED)
    with Copy(root, shared=()) as copy:
        tests = copy.record(FILE, [MODULE], 600)
    assert {test: ran["lines"] for test, ran in tests.items()} == {
        f"{FILE}::test_price[3-3]": {MODULE: [6, 10]},
        f"{FILE}::test_price[11-10]": {MODULE: [6, 10]},
        f"{FILE}::test_nothing": {},
    }


def test_what_keeps_the_tests_setup_from_being_imported_is_noticed_and_tests_that_are_not_there_are_an_error(
    root: Path,
) -> None:
    (root / "tests/unit/conftest.py").write_text("from shop.prices import MOST\n\nassert MOST < 11\n")
    (change, *_) = [change for change in changes_of(SOURCE) if change.kind == "modconst"]
    with Copy(root, shared=()) as copy:
        ran = copy.run({f"{FILE}::test_nothing": 0.1}, 30)
        assert not ran.has_noticed
        copy.change(MODULE, change)
        ran = copy.run({f"{FILE}::test_nothing": 0.1}, 30)
        assert ran.failed == str(copy.tree / "tests/unit/conftest.py")
        copy.restore(MODULE)
        for missing in (f"{FILE}::test_that_is_gone", "tests/unit/shop/test_gone.py::test_a"):
            with pytest.raises(RuntimeError, match=r"pytest ended with [45]"):
                copy.run({missing: 0.1}, 30)


def test_the_arguments_of_a_route_are_looked_for_where_its_router_is_used() -> None:
    module, other = "functions/shop/routes.py", "functions/shop/resolver.py"
    source = (
        'router = Router()\n\n\n@router.get("/prices", description="All.")\ndef prices():\n    return 1\n'
    )
    sources = {
        module: source,
        other: "from shop import routes\n\n\ndef made():\n    return App(routes.router)\n",
    }
    ran = {"seconds": 0.1, "lines": {other: [5]}}
    reach = Reach({FILE: Recorded("", {f"{FILE}::test_made": ran})}, sources, {FILE: ""})
    (change,) = [change for change in changes_of(source) if change.before == '"All."']
    assert reach.tests_of(module, change) == {f"{FILE}::test_made": 0.1}
    assert reach.tests_of(module, next(each for each in changes_of(source) if each.kind == "return")) == {}


def test_what_is_recorded_is_of_the_code_and_of_the_tests(root: Path) -> None:
    before, without = digest(root, FILE, [MODULE]), digest(root, FILE, [])
    assert digest(root, FILE, [MODULE]) == before
    (root / MODULE).write_text("A = 1\n")
    assert digest(root, FILE, [MODULE]) != before
    assert digest(root, FILE, []) == without
    (root / FILE).write_text("A = 1\n")
    assert digest(root, FILE, []) != without


@pytest.mark.parametrize(
    ("module", "test", "far"),
    [
        ("functions/poller/decision.py", "tests/unit/poller/test_decision.py::test_a", 0),
        ("functions/poller/decision.py", "tests/unit/poller/test_kills.py::test_a", 1),
        ("layers/tunehook/tunehook/providers/kinds/suno.py", "tests/unit/providers/kinds/test_suno.py::a", 0),
        ("functions/api/routes/tasks.py", "tests/unit/api/test_openapi.py::test_a", 1),
        ("functions/api/resolver.py", "tests/unit/api/routes/test_tasks.py::test_a", 1),
        ("functions/api/resolver.py", "tests/unit/test_keys.py::test_a", 2),
        ("layers/tunehook/tunehook/events.py", "tests/unit/test_events.py::test_a", 0),
        ("layers/tunehook/tunehook/events.py", "tests/unit/test_keys.py::test_a", 1),
        ("layers/tunehook/tunehook/events.py", "tests/unit/poller/test_decision.py::test_a", 2),
        ("layers/tunehook/tunehook/events.py", "tests/contract/test_event_schemas.py::test_a", 2),
    ],
)
def test_tests_are_near_a_module_by_their_folder(module: str, test: str, far: int) -> None:
    assert distance(module, test) == far


def test_no_more_tests_are_run_than_fit_into_the_time_but_one_in_any_case() -> None:
    near, far = "tests/unit/poller/test_decision.py::", "tests/unit/intake/test_app.py::"
    tests = {f"{near}a": 4.0, f"{near}b": 9.0, f"{far}c": 5.0}
    assert list(parts_of("functions/poller/decision.py", tests, 10)) == [{f"{near}a": 4.0}, {f"{far}c": 5.0}]
    assert list(parts_of("functions/poller/decision.py", tests, 1)) == [{f"{near}a": 4.0}]


def test_every_module_gives_as_many_as_the_others_and_a_seed_draws_the_same_again() -> None:
    found = {name: changes_of(SOURCE) for name in ("a", "b", "c")} | {"small": changes_of("A = 'x'\n")}
    drawn = draw(found, 13, seed=5)
    assert {name: [module for module, _ in drawn].count(name) for name in found} == {
        "a": 4,
        "b": 4,
        "c": 4,
        "small": 1,
    }
    assert draw(found, 13, seed=5) == drawn
    assert draw(found, 13, seed=6) != drawn
    assert len(draw({"small": found["small"]}, 500, seed=1)) == 1


def test_what_is_excepted_counts_neither_way() -> None:
    one, two, three = changes_of(SOURCE)[:3]
    results = [
        Result("a", one, Verdict.NOTICED, "test"),
        Result("a", two, Verdict.EXCEPTED, "a log line"),
        Result("b", three, Verdict.UNNOTICED, "0"),
    ]
    assert share(results) == 0.5
    told = report(results, 7)
    assert "1 of 2 noticed (50.0%; the bar is 92%), 1 excepted" in told
    assert re.search(r"^\| `b:\d+` \|", told, re.MULTILINE)
    assert "| a log line |" in told


def test_a_log_line_is_excepted_and_the_line_after_it_is_not() -> None:
    source = 'def f(a):\n    logger.info("told", a=1)\n    return a < 1\n'
    known = entries()
    reasons = {change.kind: reason_of("functions/a.py", change, known) for change in changes_of(source)}
    assert all(reasons[kind] for kind in ("del", "str", "kwdrop"))
    assert reasons["cmp"] is None


def test_every_exception_has_a_reason_and_is_of_something(tmp_path: Path) -> None:
    for entry in entries():
        assert any(
            entry.matches(path.relative_to(ROOT).as_posix(), change)
            for folder in ("functions", "layers/tunehook/tunehook")
            for path in (ROOT / folder).rglob("*.py")
            if entry.where == "*" or path.relative_to(ROOT).match(entry.where)
            for change in changes_of(path.read_text(encoding="utf-8"))
        ), entry
    bad = tmp_path / "bad.toml"
    bad.write_text("[[excepted]]\nwhere = '*'\nstatement = 'a'\nreason = ' '\n")
    with pytest.raises(ValueError, match="no reason"):
        entries(bad)

"""Described providers on the command line: set, list, check and what each expression gave; recipes tried offline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from tests.support.aws import items
from tests.support.recipes import BASE_URL, DONE, ENTRY, IN_TWO_QUESTIONS, RECIPE, SUNO, TOML

from tunehook.operations.providers import SECRET_MAX_BYTES
from tunehook_local.sandbox import Sandbox, run_sandbox

KEY = "sk-a-key-that-nobody-may-see-0123"
SET = ("providers", "set", "mine", "--api-key", KEY)
CODED = {"kind": "suno", "base_url": "https://gw.example", "api_key": KEY}

Providers = Callable[..., dict[str, Any]]


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(TOML, encoding="utf-8")
    return str(path)


@pytest.fixture
def sandbox(providers: Providers) -> Iterator[Sandbox]:
    with run_sandbox() as running:
        providers(json.dumps(running.providers_secret()))
        yield running


@pytest.fixture
def described(tunehook: Any, sandbox: Sandbox, tmp_path: Path) -> str:
    """The sandbox's gateway as a described provider, by its name."""
    path, known = tmp_path / "suno.toml", sandbox.providers_secret()["suno"]
    path.write_text(SUNO, encoding="utf-8")
    given = ("--recipe", str(path), "--base-url", known["base_url"], "--api-key", known["api_key"])
    assert tunehook("providers", "set", "mine", *given).exit_code == 0
    return "mine"


def test_a_recipe_of_a_file_is_stored_as_it_is_written(
    tunehook: Any, providers: Providers, recipe: str
) -> None:
    result = tunehook(*SET, "--recipe", recipe)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"Added the provider mine, described (own) at {BASE_URL}.\n"
    assert providers() == {"mine": {"kind": "described", "recipe": RECIPE, "api_key": KEY}}


def test_a_bundled_recipe_is_stored_by_its_name(tunehook: Any, providers: Providers) -> None:
    result = tunehook(*SET, "--recipe", "replicate")
    assert result.stdout == "Added the provider mine, described (replicate) at https://api.replicate.com.\n"
    assert providers() == {"mine": {"kind": "described", "recipe": "replicate", "api_key": KEY}}


def test_a_base_url_of_the_entry_wins(tunehook: Any, providers: Providers) -> None:
    tunehook(*SET, "--recipe", "replicate", "--base-url", "https://proxy.example/v1")
    assert providers()["mine"]["base_url"] == "https://proxy.example/v1"
    result = tunehook("providers", "set", "mine", "--recipe", "luma")
    assert "described (luma) at https://proxy.example/v1" in result.stdout


def test_no_path_of_a_described_api_is_warned_of(tunehook: Any, providers: Providers) -> None:
    result = tunehook(*SET, "--recipe", "replicate", "--base-url", "https://proxy.example/v1")
    assert result.stderr == ""


def test_a_recipe_in_the_place_of_a_kind_brings_its_base_url_and_a_kind_drops_the_recipe(
    tunehook: Any, providers: Providers
) -> None:
    providers(json.dumps({"mine": CODED | {"max_concurrency": 4}}))
    assert tunehook("providers", "set", "mine", "--recipe", "replicate").exit_code == 0
    described = {"kind": "described", "recipe": "replicate", "api_key": KEY, "max_concurrency": 4}
    assert providers() == {"mine": described}
    refused = tunehook("providers", "set", "mine", "--kind", "suno")
    assert (refused.exit_code, refused.stderr) == (2, "tunehook: --base-url: is needed\n")
    assert (
        tunehook("providers", "set", "mine", "--kind", "suno", "--base-url", "https://gw.example").exit_code
        == 0
    )
    assert providers() == {"mine": CODED | {"max_concurrency": 4}}


def test_what_is_not_named_of_a_described_provider_stays(tunehook: Any, providers: Providers) -> None:
    providers(json.dumps({"mine": ENTRY}))
    assert tunehook("providers", "set", "mine", "--max-concurrency", "3").exit_code == 0
    assert providers() == {"mine": ENTRY | {"max_concurrency": 3}}


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("--recipe", "replicate", "--kind", "suno"), "--recipe: is for the kind described"),
        (("--kind", "described"), "--recipe: is needed by the kind described"),
        (("--recipe", "replicat"), "--recipe: is none of "),
        (("--recipe", "/not/there.toml"), "--recipe: cannot read /not/there.toml: No such file"),
        (("--recipe", "fal"), "--base-url: is needed"),
    ],
)
def test_what_cannot_be_is_refused_by_its_option(
    tunehook: Any, providers: Providers, args: tuple[str, ...], complaint: str
) -> None:
    result = tunehook(*SET, *args)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"tunehook: {complaint}")
    assert providers() == {}


def test_an_unknown_bundled_recipe_is_told_the_known_ones(tunehook: Any, providers: Providers) -> None:
    assert {"fal", "luma", "replicate", "runway"} <= set(
        tunehook(*SET, "--recipe", "nope").stderr.replace(",", "").split()
    )


@pytest.mark.parametrize(
    ("line", "written", "said"),
    [
        (8, 'status = "status["', "line 8: task.status"),
        (14, 'failed = ["done"]', "line "),
        (5, 'path = "/tasks"', "line "),
        (1, "about = ", "line 1: is no TOML"),
        (9, 'reasons = "error"', "line 9: task.reasons"),
    ],
)
def test_a_mistake_is_refused_with_file_line_and_reason(
    tunehook: Any, providers: Providers, recipe: str, line: int, written: str, said: str
) -> None:
    lines = TOML.splitlines()
    lines[line - 1] = written
    Path(recipe).write_text("\n".join(lines), encoding="utf-8")
    for refused in (
        tunehook(*SET, "--recipe", recipe),
        tunehook("providers", "try-recipe", recipe, "x.json"),
    ):
        assert f"{recipe}: {said}" in refused.stderr
        assert refused.stderr.count("\n") == 1
    assert refused.exit_code == 1
    assert providers() == {}


def test_what_would_make_the_secret_too_large_is_refused_with_its_size_and_the_largest(
    tunehook: Any, providers: Providers, recipe: str
) -> None:
    padding = {"kind": "nope", "x": "x" * (SECRET_MAX_BYTES - 400)}
    providers(json.dumps({"padding": padding}))
    refused = tunehook(*SET, "--recipe", recipe)
    assert refused.exit_code == 2
    all_together = {"padding": padding, "mine": {"kind": "described", "recipe": RECIPE, "api_key": KEY}}
    size, largest = (len(json.dumps(each, indent=2)) for each in (all_together, {"padding": padding}))
    assert f"would take {size:,} bytes together, more than 60,000" in refused.stderr
    assert f"the largest is padding with {largest:,}" in refused.stderr
    assert providers() == {"padding": padding}
    assert tunehook(*SET, "--recipe", "replicate").exit_code == 0


def test_a_secret_that_is_too_large_already_may_get_smaller(tunehook: Any, providers: Providers) -> None:
    providers(json.dumps({"padding": "x" * SECRET_MAX_BYTES, "mine": ENTRY}, indent=2))
    assert tunehook("providers", "set", "mine", "--recipe", "replicate").exit_code == 0
    assert tunehook("providers", "set", "mine", "--max-concurrency", "3").exit_code == 2


def test_the_list_says_which_recipe(tunehook: Any, providers: Providers) -> None:
    providers(json.dumps({"own": ENTRY, "theirs": ENTRY | {"recipe": "replicate"}, "coded": CODED}))
    text = tunehook("providers", "list").stdout
    assert "described (own)" in text
    assert "described (replicate)" in text
    told = {each["name"]: each for each in json.loads(tunehook("providers", "list", "--json").stdout)}
    assert [told[name]["recipe"] for name in ("own", "theirs", "coded")] == ["own", "replicate", None]
    assert told["own"]["recipe_about"] == RECIPE["about"]
    assert told["own"]["base_url"] == BASE_URL
    assert told["coded"]["recipe_about"] is None


def test_the_bundled_recipes_are_listed_and_printed(tunehook: Any, recipe: str) -> None:
    listed = json.loads(tunehook("providers", "recipes", "--json").stdout)
    assert {"fal", "luma", "replicate", "runway"} <= {each["name"] for each in listed}
    assert all(each["about"] and each["verified"] for each in listed)
    text = tunehook("providers", "recipes").stdout
    assert "https://api.replicate.com" in text
    toml = tunehook("providers", "recipes", "replicate").stdout
    Path(recipe).write_text(toml, encoding="utf-8")
    assert tunehook("providers", "try-recipe", recipe, *()).exit_code == 2
    assert tunehook("providers", "recipes", "nope").exit_code == 2


def test_check_explains_what_each_expression_gave(tunehook: Any, sandbox: Sandbox, described: str) -> None:
    sandbox.create_task("suno", "task-1", age_s=60)
    result = tunehook("providers", "check", described, "task-1", "--explain")
    assert result.exit_code == 0
    assert f"{described}, described (own) at " in result.stdout
    assert '"status": "SUCCESS"' in result.stdout
    assert "Outcome: completed, with 2 clips" in result.stdout
    told = json.loads(tunehook("providers", "check", described, "task-1", "--explain", "--json").stdout)
    (explained,) = told["explained"]
    given = {each["name"]: (each["expression"], each["value"]) for each in explained["findings"]}
    assert given["task.status"] == ("status", "SUCCESS")
    assert explained["body"]["data"]["task_id"] == "task-1"
    assert (told["recipe"], told["outcome"]) == ("own", "completed, with 2 clips")


def test_a_response_is_printed_as_far_in_as_it_is(tunehook: Any, sandbox: Sandbox, described: str) -> None:
    sandbox.create_task("suno", "task-1", age_s=60)
    result = tunehook("providers", "check", described, "task-1", "--explain", env={"COLUMNS": "80"})
    lines = result.stdout.splitlines()
    assert '    "status": "SUCCESS",' in lines
    assert max(map(cell_len, lines)) <= 80


def test_check_explains_a_coded_kind_by_what_it_recognised(tunehook: Any, sandbox: Sandbox) -> None:
    sandbox.create_task("suno", "task-1", age_s=60)
    result = tunehook("providers", "check", "suno", "task-1", "--explain")
    assert "The kind suno is written in code: it has no expressions." in result.stdout
    told = json.loads(tunehook("providers", "check", "suno", "task-1", "--explain", "--json").stdout)
    found = {each["name"]: each["value"] for each in told["explained"][0]["findings"]}
    assert (found["status"], found["class of the status"]) == ("SUCCESS", "succeeded")
    assert found["clip 1"]["audio_url"].startswith("http://127.0.0.1:")
    assert json.loads(tunehook("providers", "check", "suno", "task-1", "--json").stdout)["explained"] is None


def test_check_explains_a_task_that_is_pending(tunehook: Any, sandbox: Sandbox) -> None:
    sandbox.create_task("suno", "task-1")
    told = json.loads(tunehook("providers", "check", "suno", "task-1", "--explain", "--json").stdout)
    found = {each["name"]: each["value"] for each in told["explained"][0]["findings"]}
    assert found["class of the status"] in ("queued", "processing")
    assert found["status"]


def test_an_explanation_of_no_answer_says_so_and_none_has_the_key(
    tunehook: Any, providers: Providers, sandbox: Sandbox
) -> None:
    wrong = sandbox.providers_secret()["suno"] | {"api_key": f"wrong-{KEY}"}
    providers(json.dumps({"gone": CODED | {"base_url": "http://127.0.0.1:9"}, "suno": wrong}))
    gone = tunehook("providers", "check", "gone", "--explain")
    assert (gone.exit_code, "There is no response to explain." in gone.stdout) == (1, True)
    refused = tunehook("providers", "check", "suno", "--explain")
    assert refused.exit_code == 1
    assert "Response: HTTP 401" in refused.stdout
    assert KEY not in refused.output


def test_a_task_is_submitted_through_a_recipe(
    tunehook: Any, sandbox: Sandbox, described: str, tmp_path: Path
) -> None:
    path = tmp_path / "body.json"
    path.write_text('{"prompt": "rain"}', encoding="utf-8")
    result = tunehook("submit", described, "--body", str(path))
    (noted,) = sandbox.submitted("suno")
    assert (result.exit_code, result.output) == (0, f"Submitted {noted.task_id} of {described}.\n")
    assert "/v1/callbacks/mine/" in noted.fields["notify_hook"]
    assert [item["task_id"] for item in items("TasksTable")] == [noted.task_id]


@pytest.fixture
def answer(tmp_path: Path) -> Callable[[str, Any], str]:
    def write(name: str, content: Any) -> str:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return write


def outcomes(result: Any) -> list[str]:
    lines = result.stdout.splitlines()
    return [line.removeprefix("Outcome: ") for line in lines if line.startswith("Outcome: ")]


def test_a_recipe_is_tried_on_bodies_and_on_recorded_answers(
    tunehook: Any, recipe: str, answer: Callable[[str, Any], str]
) -> None:
    files = [
        answer("done.json", DONE),
        answer(
            "recorded.json",
            {"about": "x", "answer": {"status": 429, "headers": {"retry-after": "9"}, "body": {}}},
        ),
        answer("odd.json", {"status": "resting"}),
    ]
    result = tunehook("providers", "try-recipe", recipe, *files)
    assert (result.exit_code, result.stderr) == (0, "")
    done, throttled, odd = outcomes(result)
    assert done == "completed, with 1 clip"
    assert throttled.startswith("throttled: the provider is throttling requests, for 9 s")
    assert odd == "pending (processing): status resting, which tunehook does not know and treats as pending"
    told = json.loads(tunehook("providers", "try-recipe", recipe, *files, "--json").stdout)
    assert [each["file"] for each in told] == files
    names = [each["name"] for each in told[0]["explanations"][0]["findings"]]
    assert "task.status" in names


def test_the_second_answer_of_a_recorded_one_is_tried_too(
    tunehook: Any, tmp_path: Path, answer: Callable[[str, Any], str]
) -> None:
    recipe = tmp_path / "two.toml"
    recipe.write_text(f'{TOML}\n[result]\npath = "/tasks/{{task_id}}/result"\n', encoding="utf-8")
    assert IN_TWO_QUESTIONS["result"] == {"path": "/tasks/{task_id}/result"}
    record = {"answer": {"body": {"status": "done"}}, "second": {"body": {"songs": DONE["songs"]}}}
    files = [answer("both.json", record), answer("first.json", {"status": "done"})]
    both_first, both, first = outcomes(tunehook("providers", "try-recipe", str(recipe), *files))
    assert both_first == first
    assert first.endswith("in the answer to a second question")
    assert both == "completed, with 1 clip"


def test_an_answer_about_many_tasks_is_tried_by_their_ids(
    tunehook: Any, tmp_path: Path, answer: Callable[[str, Any], str]
) -> None:
    recipe = tmp_path / "many.toml"
    many = '[ask_many]\npath = "/tasks?ids={task_ids}"\nids_per_call = 10\ntasks = "tasks"\nid = "id"\n'
    recipe.write_text(f"{TOML}\n{many}", encoding="utf-8")
    body = {"tasks": [{"id": "a", "status": "running"}, DONE | {"id": "b"}]}
    file = answer("many.json", {"task_ids": ["a", "b"], "answer": {"status": 200, "body": body}})
    told = json.loads(tunehook("providers", "try-recipe", str(recipe), file, "--json").stdout)
    assert told[0]["outcomes"] == {"a": "pending (processing): status running", "b": "completed, with 1 clip"}
    refused = answer("many.json", {"task_ids": ["a"], "answer": {"status": 429, "body": {}}})
    (told,) = json.loads(tunehook("providers", "try-recipe", str(recipe), refused, "--json").stdout)
    assert list(told["outcomes"]) == [""]
    assert "429" in told["outcomes"][""]


def test_what_cannot_be_read_is_told_by_its_file_and_the_others_are_tried(
    tunehook: Any, recipe: str, answer: Callable[[str, Any], str]
) -> None:
    files = [answer("bad.json", "<html>"), "/not/there.json", answer("done.json", DONE)]
    odd = answer("odd.json", {"answer": {"status": "200"}})
    result = tunehook("providers", "try-recipe", recipe, *files, odd)
    assert result.exit_code == 1
    assert outcomes(result) == ["completed, with 1 clip"]
    for words in ("is no JSON", "cannot be read: No such file or directory", "answer: is no answer"):
        assert words in result.stdout


def test_what_is_tried_is_readable_in_80_columns(
    tunehook: Any, recipe: str, answer: Callable[[str, Any], str]
) -> None:
    long = DONE | {"songs": [{"id": "s" * 300, "name": "夏" * 300, "url": f"{BASE_URL}/{'x' * 300}.mp3"}]}
    file = answer("long.json", long)
    for command in (("try-recipe", recipe, file), ("recipes",)):
        result = tunehook("providers", *command, env={"COLUMNS": "80"})
        assert result.exit_code == 0
        # The name of the file is a word, which the test's folder makes long.
        lines = [line for line in result.stdout.splitlines() if "/" not in line or "http" in line]
        assert max(map(cell_len, lines)) <= 80

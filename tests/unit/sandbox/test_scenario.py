from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tunehook.errors import InvalidInput
from tunehook_local.sandbox import DEMO_SCENARIO, Kind, Scenario, load_scenario, parse
from tunehook_local.sandbox.scripted_answers import TaskAnswer

DONE = {"phase": "completed"}


def refused(document: dict[str, Any]) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse(Scenario, document)
    return caught.value


def test_the_first_rule_whose_pattern_matches_is_taken() -> None:
    scenario = parse(
        Scenario,
        {
            "tasks": [
                {"task_id": "a-*", "song": {"title": "one"}, "answers": [DONE]},
                {"task_id": "a-b", "song": {"title": "two"}, "answers": [DONE]},
            ]
        },
    )
    rule = scenario.task_rule(Kind.SUNO, "a-b")
    assert rule is not None
    assert rule.song.title == "one"


def test_a_rule_with_a_kind_is_for_that_kind_only() -> None:
    scenario = parse(Scenario, {"tasks": [{"kind": "suno", "answers": [DONE]}]})
    assert scenario.task_rule(Kind.SUNO, "x") is not None
    assert scenario.task_rule(Kind.QHAIGC, "x") is None


def test_patterns_heed_case() -> None:
    scenario = parse(Scenario, {"tasks": [{"task_id": "Song", "answers": [DONE]}]})
    assert scenario.task_rule(Kind.SUNO, "song") is None


@pytest.mark.parametrize(
    ("answers", "field"),
    [
        ([], "tasks.0.answers"),
        ([{"phase": "done"}], "tasks.0.answers.0.phase"),
        ([{"phase": "queued", "until_s": -1}, DONE], "tasks.0.answers.0.until_s.0"),
        ([{"phase": "queued", "until_s": [4, 2]}, DONE], "tasks.0.answers.0.until_s"),
        ([{"status": 99}], "tasks.0.answers.0.status"),
        ([{"status": 200, "body_base64": "%"}], "tasks.0.answers.0.body_base64"),
        ([DONE | {"delay": 3}], "tasks.0.answers.0.delay"),
        ([DONE | {"clips": 9}], "tasks.0.answers.0.clips"),
    ],
)
def test_a_bad_value_is_named_by_its_field(answers: list[dict[str, Any]], field: str) -> None:
    assert refused({"tasks": [{"answers": answers}]}).field == field


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([DONE | {"until_s": 3}], "the last answer holds for ever"),
        ([{"phase": "queued"}, DONE], "each answer but the last needs"),
        (
            [{"phase": "queued", "until_s": 5}, {"phase": "processing", "until_s": 5}, DONE],
            "until_s must grow",
        ),
        ([{"phase": "queued", "until_s": [1, 9]}, {"phase": "processing", "until_s": 5}, DONE], "must grow"),
    ],
)
def test_a_sequence_whose_answers_would_never_be_given_is_refused(
    answers: list[dict[str, Any]], reason: str
) -> None:
    error = refused({"tasks": [{"answers": answers}]})
    assert error.field == "tasks.0.answers"
    assert reason in error.reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({}, "either a phase or a status"),
        (DONE | {"status": 200}, "either a phase or a status"),
        (DONE | {"body": "x"}, "a body needs a status"),
        (DONE | {"chunked": True, "length_off_by": 1}, "one of chunked and length_off_by"),
        ({"status": 200, "body": "x", "body_base64": "eA=="}, "give one of body"),
    ],
)
def test_an_answer_that_contradicts_itself_is_refused(answer: dict[str, Any], reason: str) -> None:
    error = refused({"tasks": [{"answers": [answer]}]})
    assert error.field == "tasks.0.answers.0"
    assert reason in error.reason


def test_the_links_of_a_task_lead_to_a_url() -> None:
    assert (
        refused({"tasks": [{"answers": [DONE], "assets_url": "cdn.example.com/"}]}).field
        == "tasks.0.assets_url"
    )


def test_a_receiver_may_go_back_to_its_usual_answer() -> None:
    scenario = parse(Scenario, {"receivers": [{"answers": [{"status": 500, "times": 2}]}]})
    assert scenario.first_rule("receivers", "any") is not None


def test_a_body_is_read_from_a_file_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "broken.bin").write_bytes(b"\xff\xfe{")
    path = tmp_path / "odd.toml"
    path.write_text('[[tasks]]\nanswers = [{ status = 200, body_file = "broken.bin" }]\n')
    assert load_scenario(path).tasks[0].answers[0].content == b"\xff\xfe{"


def test_a_body_file_that_is_missing_is_named_by_its_field(tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text('[[tasks]]\nanswers = [{ status = 200, body_file = "none.bin" }]\n')
    with pytest.raises(InvalidInput, match="cannot be read") as caught:
        load_scenario(path)
    assert caught.value.field == "tasks.0.answers.0.body_file"


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"body": {"code": "春"}}, '{"code": "春"}'.encode()),
        ({"body": "<html>"}, b"<html>"),
        ({"body_base64": "/w=="}, b"\xff"),
    ],
)
def test_a_recorded_answer_gives_status_headers_and_body(
    tmp_path: Path, body: dict[str, Any], sent: bytes
) -> None:
    record = {"about": "x", "answer": {"status": 502, "headers": {"x-a": "1"}} | body, "outcome": {}}
    (tmp_path / "record.json").write_text(json.dumps(record))
    path = tmp_path / "odd.toml"
    path.write_text('[[tasks]]\nanswers = [{ recorded = "record.json", delay_s = 2 }]\n')
    (answer,) = load_scenario(path).tasks[0].answers
    assert (answer.status, answer.headers, answer.content) == (502, {"x-a": "1"}, sent)
    assert answer.delay_s == 2


@pytest.mark.parametrize(
    ("record", "given", "reason"),
    [
        ("[]", "", "is no recorded answer"),
        ("{", "", "is no recorded answer"),
        (None, "", "cannot be read"),
        ('{"answer": {"status": 200}}', ", status = 500", "give either recorded or status"),
    ],
)
def test_a_record_that_cannot_be_played_is_refused(
    tmp_path: Path, record: str | None, given: str, reason: str
) -> None:
    if record is not None:
        (tmp_path / "record.json").write_text(record)
    path = tmp_path / "odd.toml"
    path.write_text(f'[[tasks]]\nanswers = [{{ recorded = "record.json"{given} }}]\n')
    with pytest.raises(InvalidInput, match=reason) as caught:
        load_scenario(path)
    assert caught.value.field == "tasks.0.answers.0"


def test_a_file_can_be_named_in_a_scenario_file_only() -> None:
    error = refused({"tasks": [{"answers": [{"status": 200, "body_file": "/etc/hostname"}]}]})
    assert "in a scenario file only" in error.reason


@pytest.mark.parametrize(("text", "reason"), [("[[tasks", "is not TOML"), (None, "cannot read")])
def test_a_file_that_is_no_scenario_is_refused(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "scenario.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidInput, match=reason) as caught:
        load_scenario(path)
    assert caught.value.field == "scenario"


def test_the_demo_ends_its_tasks_when_it_says() -> None:
    named = {
        rule["task_id"]: (rule.get("kind"), rule["answers"][-2]["until_s"], rule["answers"][-1]["phase"])
        for rule in tomllib.loads(DEMO_SCENARIO.read_text())["tasks"]
        if len(rule["answers"]) > 1
    }
    assert named == {
        "demo-sunrise": ("musicmint", 8, "completed"),
        "demo-spring": ("qhaigc", 12, "completed"),
        "demo-city-lights": ("suno", 15, "completed"),
        "demo-failure*": (None, 6, "failed"),
        "demo-slow*": (None, 600, "completed"),
        "*": (None, [5, 20], "completed"),
    }
    scenario = load_scenario(DEMO_SCENARIO)
    assert scenario.tasks[-1].answers[1].until_s == (5, 20)
    unknown = scenario.task_rule(Kind.QHAIGC, "demo-unknown-2")
    assert unknown is not None
    assert [answer.phase for answer in unknown.answers] == ["not_found"]


def test_the_scenario_of_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text()
    (document,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    scenario = parse(Scenario, tomllib.loads(document))
    assert (len(scenario.tasks), len(scenario.assets), len(scenario.receivers)) == (1, 1, 1)
    fields = {
        name for row in re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE) for name in row.split("`")[1::2]
    }
    unexplained = set(TaskAnswer.model_fields) - fields - {"word", "body_base64"}
    assert unexplained == set()

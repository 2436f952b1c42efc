import json
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.cli.conftest import OUTPUTS

from tunehook.operations.stack import Stack
from tunehook_cli.commands import outputs


@pytest.fixture(autouse=True)
def _deployed(stack: None) -> None:
    """A stack on moto."""


def test_every_output_is_shown_with_its_value(tunehook: Any) -> None:
    lines = [line.split() for line in tunehook("outputs").stdout.splitlines()]
    assert lines == [[name, OUTPUTS[name]] for name in sorted(OUTPUTS)]


def test_one_output_is_its_value_alone_for_a_shell_to_take(tunehook: Any) -> None:
    assert tunehook("outputs", "ResultsBucket").stdout == "results\n"


def test_as_json_outputs_are_by_their_names(tunehook: Any) -> None:
    assert json.loads(tunehook("outputs", "--json").stdout) == OUTPUTS
    assert json.loads(tunehook("outputs", "ResultsBucket", "--json").stdout) == {"ResultsBucket": "results"}


def test_a_misspelt_name_is_refused_with_the_nearest(tunehook: Any) -> None:
    result = tunehook("outputs", "TaskTable")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "tunehook: NAME: the stack has no output TaskTable; did you mean TasksTable?\n"


def test_a_name_that_is_like_none_is_refused(tunehook: Any) -> None:
    result = tunehook("outputs", "x")
    assert result.stderr == "tunehook: NAME: the stack has no output x: `tunehook outputs` lists them\n"


def test_the_url_of_the_api_is_the_one_that_answers_on_the_embedded_aws(
    tunehook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamodb = SimpleNamespace(meta=SimpleNamespace(endpoint_url="http://127.0.0.1:4566"))
    stack = Stack("tunehook", "eu-west-1", OUTPUTS, {}, open_client=lambda _: dynamodb)
    monkeypatch.setattr(outputs, "find_stack", lambda _: stack)
    assert tunehook("outputs", "ApiUrl").stdout == "http://127.0.0.1:4566/_aws/execute-api/a1b2c3/$default\n"

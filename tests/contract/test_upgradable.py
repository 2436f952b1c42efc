"""That a stack of the deployed version can be upgraded to the template as it is, and keeps all that lies in it.

`tests/stack/test_upgrade.py` upgrades one; this holds what the embedded AWS does not mind and AWS does: an index cannot
be changed, an update of a table makes or removes one index at most, and what is replaced begins empty.

An upgrade has the HTTP API off, as `make deploy` does it; switched on, it makes more.
"""

import json
from typing import Any

import pytest
from tests.support.deployed import RECORD, shape
from tests.support.template import resources, template

from tunehook_cli.deploying import FORMER

DEPLOYED = json.loads(RECORD.read_text())
KEEPING = ("Retain", "RetainExceptOnCreate")
"""What keeps a resource of a stack that was once made; the second goes with a stack that could not be made."""
NOW = shape(template(), {"HttpApi": "off"})
WITH_API = shape(template())

TABLES = [name for name, each in DEPLOYED["resources"].items() if each["Type"] == "AWS::DynamoDB::Table"]
BESIDE = ("attributes", "indexes", "stream")


def now(name: str) -> dict[str, Any]:
    assert name in NOW["resources"], f"{name} would be deleted, or forgotten with all that it holds"
    return NOW["resources"][name]


def kept_alike(described: dict[str, Any]) -> dict[str, Any]:
    policy = described.get("DeletionPolicy")
    return described | ({"DeletionPolicy": KEEPING[0]} if policy in KEEPING else {})


@pytest.mark.parametrize("name", DEPLOYED["resources"])
def test_what_holds_something_is_not_replaced(name: str) -> None:
    before, after = (
        {key: value for key, value in kept_alike(each).items() if key not in BESIDE}
        for each in (DEPLOYED["resources"][name], now(name))
    )
    assert after == before


@pytest.mark.parametrize("name", TABLES)
def test_no_index_of_a_table_is_changed(name: str) -> None:
    kept = {
        index: after
        for index, after in now(name)["indexes"].items()
        if index in DEPLOYED["resources"][name]["indexes"]
    }
    assert kept == {index: DEPLOYED["resources"][name]["indexes"][index] for index in kept}


@pytest.mark.parametrize("name", TABLES)
def test_one_index_of_a_table_is_made_or_removed_at_most(name: str) -> None:
    assert len(now(name)["indexes"].keys() ^ DEPLOYED["resources"][name]["indexes"].keys()) <= 1


@pytest.mark.parametrize("name", TABLES)
def test_one_is_made_where_the_http_api_is_switched_on(name: str) -> None:
    before, after = now(name)["indexes"], WITH_API["resources"][name]["indexes"]
    assert before.items() <= after.items()
    assert len(after.keys() - before.keys()) <= 1


@pytest.mark.parametrize("name", TABLES)
def test_no_attribute_of_a_key_becomes_one_of_another_type(name: str) -> None:
    before, after = DEPLOYED["resources"][name]["attributes"], now(name)["attributes"]
    assert {each: after[each] for each in after if each in before} == {
        each: before[each] for each in after if each in before
    }


@pytest.mark.parametrize("name", TABLES)
def test_a_stream_is_replaced_only_where_what_is_put_meanwhile_is_looked_for(name: str) -> None:
    """Another view is another stream, and between the two nobody is told of what is written."""
    before, after = (each.get("stream") for each in (DEPLOYED["resources"][name], now(name)))
    assert (before is None) == (after is None)
    if before != after:
        functions = resources("AWS::Serverless::Function")
        for function in ("IntakeFunction", "PollerFunction"):
            variables = functions[function]["Environment"]["Variables"]
            assert variables["TASKS_STREAM"] == {"Fn::GetAtt": f"{name}.StreamArn"}


def test_an_upgrade_by_the_command_does_not_switch_it_on() -> None:
    assert FORMER["HttpApi"] == "off"


def test_parameters_stay_and_new_ones_need_no_value() -> None:
    parameters = template()["Parameters"]
    assert set(DEPLOYED["parameters"]) <= parameters.keys()
    assert [name for name, each in parameters.items() if "Default" not in each] == []

"""The function's stack is what its environment says, and has the outputs that CloudFormation would give."""

from __future__ import annotations

import pytest
from tests.support.aws import REGION
from tests.support.template import is_made, resolved, translated

from api.settings import ApiSettings
from api.stack import stack_of
from tunehook.http.guard import NetworkPolicy
from tunehook.operations.stack import Stack
from tunehook.settings import load_settings


def environment(**parameters: str) -> dict[str, str]:
    """The variables that the template gives the function."""
    function = translated()["Resources"]["ApiFunction"]["Properties"]
    return {
        name: str(value)
        for name, value in resolved(function["Environment"]["Variables"], parameters).items()
        if value is not None
    }


def opened(**parameters: str) -> Stack:
    return stack_of(load_settings(ApiSettings, environment(**parameters)))


def test_its_outputs_are_those_of_the_template() -> None:
    declared = translated()["Outputs"]
    found = opened().outputs
    assert {name: resolved(declared[name]["Value"]) for name in found} == dict(found)


def test_what_the_environment_has_of_the_outputs_is_an_output_of_it() -> None:
    given = environment().values()
    declared = {name: resolved(each["Value"]) for name, each in translated()["Outputs"].items()}
    assert opened().outputs.keys() == {name for name, value in declared.items() if value in given}


def test_where_the_api_is_switched_off_it_has_no_url_as_cloudformation_would_say() -> None:
    found = opened(HttpApi="off")
    gone = opened().outputs.keys() - found.outputs.keys()
    assert gone == {"ApiId", "ApiUrl"}
    assert not any(is_made(translated()["Outputs"][name], {"HttpApi": "off"}) for name in gone)


def test_its_parameters_are_those_that_operations_ask_for() -> None:
    found = opened(ShardCount="3", NetworkPolicy="any", CallbacksTakeIn="off")
    assert (found.name, found.shard_count, found.network_policy) == ("tunehook", 3, NetworkPolicy.ANY)
    assert found.parameters["CallbacksTakeIn"] == "off"
    assert found.parameters["ApiMaxWaiting"] == "2"
    assert set(found.parameters) <= translated()["Parameters"].keys()


def test_its_region_is_lambdas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    assert opened().region == REGION

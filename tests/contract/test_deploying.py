"""`make deploy` knows every parameter: what a stack from before it did without is what it goes on with."""

from __future__ import annotations

import json

from tests.support.deployed import RECORD
from tests.support.template import template

from tunehook_cli.deploying import FORMER, LONGEST_NAME, check_value

PARAMETERS = template()["Parameters"]
DEPLOYED = set(json.loads(RECORD.read_text())["parameters"])


def test_every_parameter_that_the_deployed_version_lacks_has_a_former_value() -> None:
    assert set(FORMER) == set(PARAMETERS) - DEPLOYED


def test_former_values_are_values_of_the_parameters() -> None:
    for name, former in FORMER.items():
        if not isinstance(former, str):
            assert set(former) == set(PARAMETERS["NetworkPolicy"]["AllowedValues"]), name
        for value in [former] if isinstance(former, str) else former.values():
            check_value(name, value, PARAMETERS)


def test_no_parameter_is_secret_or_a_list_which_would_be_passed_another_way() -> None:
    for name, each in PARAMETERS.items():
        assert not each.get("NoEcho"), name
        assert each["Type"] in ("String", "Number"), name


def test_the_longest_name_of_a_stack_leaves_room_for_what_is_called_after_it() -> None:
    """Functions, schedules and the rest: at most 64 characters."""
    suffixes = []

    def walk(value: object) -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                named = isinstance(each, dict) and each.get("Fn::Sub")
                if key in ("FunctionName", "Name") and isinstance(named, str):
                    suffixes.append(named.removeprefix("${AWS::StackName}"))
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(template()["Resources"])
    assert max(map(len, suffixes)) + LONGEST_NAME == 64

"""What cfn-lint, checkov and parliament say of the template as SAM translates it, for every value of every parameter.

They read the template after `sam validate --lint` has passed it, which sees defaults alone, and before SAM makes
CloudFormation of it. What they find and what is left so stands in `accepted.toml`, with the reason.
"""

from __future__ import annotations

import copy
import json
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.support.template import ROOT, template, translated
from tests.support.variants import fixed, rows, spread, steering, translate_all, values_of

CHECKS: Final = ROOT / ".tunehook" / "tools" / "checks" / "bin" / "python"
ACCEPTED: Final = Path(__file__).with_name("accepted.toml")


def findings(tmp_path: Path, templates: Mapping[str, Any]) -> dict[str, dict[tuple[str, str, str], str]]:
    """What the checkers say to tool, rule and place, for each folder, which the first part of a name says."""
    assert CHECKS.exists(), (
        "the checkers are not set up: `python requirements/environments.py command checks`"
    )
    for name, each in templates.items():
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(each))
    folders = sorted({str(path.parent) for path in tmp_path.glob("*/*.json")})
    finished = subprocess.run(
        [str(CHECKS), str(ROOT / "tests" / "support" / "checking.py"), *folders],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    told = json.loads(finished.stdout)
    return {
        Path(folder).name: {(tool, rule, where): message for tool, rule, where, message in found}
        for folder, found in told.items()
    }


def accepted() -> set[tuple[str, str, str]]:
    """What is left as it is."""
    return {
        (entry["tool"], entry["rule"], where)
        for entry in tomllib.loads(ACCEPTED.read_text())["accepted"]
        for where in entry["where"]
    }


def faulty() -> dict[str, Any]:
    """The template with a fault for each checker, none of which `sam validate --lint` finds."""
    wrong = copy.deepcopy(translated())
    wrong["Parameters"]["LogRetentionDays"]["AllowedValues"][-1] = 3654
    (queue, *_) = wrong["Resources"]["QueuesPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    queue["Action"] = "sqs:SendMessageBatch"
    wrong["Resources"]["ResultsBucket"]["Properties"]["PublicAccessBlockConfiguration"]["BlockPublicAcls"] = (
        False
    )
    return wrong


def test_nothing_is_found_but_what_is_accepted(tmp_path: Path) -> None:
    chosen = rows(template()["Parameters"], steering(translated()))
    further = spread(translated(), template()["Parameters"], chosen)
    variants = {
        "right/references": translated(),
        "further/0": further,
        "wrong/0": spread(faulty(), faulty()["Parameters"], chosen),
    }
    for number, (values, each) in enumerate(zip(chosen, translate_all(chosen), strict=True)):
        variants[f"right/{number}"] = fixed(each, values)
    found = findings(tmp_path, variants)
    assert {place: said for place, said in found["right"].items() if place not in accepted()} == {}
    assert accepted() - found["right"].keys() == set(), "entries that nothing is found to"
    # Of copies checkov says what it says of what they are copies of, and E3019 that they have the same name.
    assert [place for place in found["further"] if place[0] != "checkov" and place[1] != "E3019"] == []
    new = found["wrong"].keys() - accepted()
    assert ("cfn-lint", "E3030", "IntakeLogsLogRetentionDays3654") in new
    assert ("parliament", "UNKNOWN_ACTION", "QueuesPolicy") in new
    assert ("checkov", "CKV_AWS_53", "ResultsBucket") in new


def test_every_accepted_finding_says_why() -> None:
    for entry in tomllib.loads(ACCEPTED.read_text())["accepted"]:
        assert len(entry["why"]) > 40, entry["rule"]
    entries = tomllib.loads(ACCEPTED.read_text())["accepted"]
    assert len(accepted()) == sum(len(entry["where"]) for entry in entries), "one is there twice"


def test_every_value_of_every_parameter_is_seen() -> None:
    parameters = template()["Parameters"]
    chosen = rows(parameters, steering(translated()))
    for name, parameter in parameters.items():
        seen = {row[name] for row in chosen}
        for value in values_of(name, parameter):
            if value not in seen:
                # A reference that stands for itself: what refers to it is seen once more with the value.
                assert name not in steering(translated())
                further = spread(translated(), {name: parameter}, chosen)["Resources"]
                assert [where for where in further if where.endswith(f"{name}{value}")], (name, value)


def test_every_value_of_every_parameter_is_translated() -> None:
    parameters = template()["Parameters"]
    chosen = rows(parameters, set(parameters))
    for values, each in zip(chosen, translate_all(chosen), strict=True):
        # The names of layers and their like hold a digest.
        kinds = [
            sorted(resource["Type"] for resource in one["Resources"].values()) for one in (each, translated())
        ]
        assert kinds[0] == kinds[1], values


def test_what_steers_the_template_is_told_from_what_stands_for_itself() -> None:
    assert steering(
        {
            "Parameters": dict.fromkeys(
                ("Alone", "InIf", "InCondition", "InText", "InBoth", "Chosen", "Unused")
            ),
            "Conditions": {"Is": {"Fn::Equals": [{"Ref": "InCondition"}, "yes"]}},
            "Resources": {
                "One": {
                    "Properties": {
                        "A": {"Ref": "Alone"},
                        "B": {"Fn::If": ["Is", {"Ref": "InIf"}, {"Ref": "AWS::NoValue"}]},
                        "C": [{"Fn::Sub": "${AWS::StackName}-${InText}"}, {"Ref": "InBoth"}],
                        "D": {"Fn::Join": ["-", [{"Ref": "InBoth"}, "x"]]},
                        "E": {"Fn::FindInMap": ["Map", {"Ref": "Chosen"}, "key"]},
                    }
                }
            },
        }
    ) == {"InIf", "InCondition", "InText", "InBoth", "Chosen"}

"""Which values of the template's parameters the checkers see: each allowed one of each at least once.

A parameter that a condition, a mapping or a text hangs on steers what the template becomes: its values come one after
the other, those of all such parameters in step, so that there are as many variants as the richest of them has values.
A parameter that stands for itself alone may have more: for each further value there is a copy, in one more variant, of
every resource that refers to it. (cfn-lint tries the values of a reference by itself, but not all of a long list.)
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.support.template import REGION, ROOT, SAM_PYTHON

SAMPLES: Final[Mapping[str, Sequence[str]]] = {
    "ApiCorsOrigins": ("https://app.example.com", "https://a.example.com,https://b.example.com"),
    "AlarmTopicArn": ("arn:aws:sns:us-east-1:123456789012:operators",),
    "PermissionsBoundaryArn": ("arn:aws:iam::123456789012:policy/boundary",),
}
"""Values of the parameters that say neither which values are allowed nor how large they may be."""


def values_of(name: str, parameter: Mapping[str, Any]) -> list[Any]:
    """Return the values of a parameter to try, its default first.

    Raises
    ------
    KeyError
        If nothing says which there are: `SAMPLES` must then.
    """
    if "AllowedValues" in parameter:
        others = parameter["AllowedValues"]
    elif parameter["Type"] == "Number":
        others = [parameter["MinValue"], parameter["MaxValue"]]
    else:
        others = SAMPLES[name]
    return list(dict.fromkeys([parameter["Default"], *others]))


def steering(template: Mapping[str, Any]) -> set[str]:
    """Return the parameters of a translated template that do not stand for themselves alone."""
    names = set(template["Parameters"])
    found: set[str] = set()

    def look(value: Any, *, is_property: bool) -> None:
        match value:
            case {"Ref": str(name)}:
                if not is_property and name in names:
                    found.add(name)
            case {"Fn::Sub": text}:
                words = text if isinstance(text, str) else json.dumps(text)
                found.update(names & set(re.findall(r"\$\{(\w+)\}", words)))
            case dict():
                is_function = any(key.startswith("Fn::") for key in value)
                for each in value.values():
                    look(each, is_property=is_property and not is_function)
            case list():
                for each in value:
                    look(each, is_property=is_property)

    look(template["Resources"], is_property=True)
    look(template.get("Conditions", {}), is_property=False)
    look(template.get("Rules", {}), is_property=False)
    return found


def rows(parameters: Mapping[str, Mapping[str, Any]], names: set[str]) -> list[dict[str, Any]]:
    """Return one value for each parameter in each row, so that each value of those in `names` is in some row."""
    tried = {name: values_of(name, each) for name, each in parameters.items()}
    count = max((len(tried[name]) for name in names), default=1)
    return [{name: each[row % len(each)] for name, each in tried.items()} for row in range(count)]


def spread(
    template: Mapping[str, Any],
    parameters: Mapping[str, Mapping[str, Any]],
    chosen: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return a translated template with a copy of what refers to a parameter for each value that no row has."""
    copies: dict[str, Any] = {}
    for name, parameter in parameters.items():
        seen = {row[name] for row in chosen}
        for value in values_of(name, parameter):
            if value not in seen:
                copies |= {
                    f"{where}{name}{value}": _with(resource, {"Ref": name}, value)
                    for where, resource in template["Resources"].items()
                    if _with(resource, {"Ref": name}, value) != resource
                }
    return {**template, "Resources": {**template["Resources"], **copies}}


def _with(part: Any, reference: Mapping[str, str], value: Any) -> Any:
    if part == reference:
        return value
    match part:
        case dict():
            return {key: _with(each, reference, value) for key, each in part.items()}
        case list():
            return [_with(each, reference, value) for each in part]
    return part


def translate_all(chosen: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what SAM's own translator makes of the template with each of these choices of values."""
    texts = [{name: str(value) for name, value in each.items()} for each in chosen]
    script = str(ROOT / "tests" / "support" / "translate.py")
    finished = subprocess.run(
        [str(SAM_PYTHON), script, str(ROOT / "template.yaml"), REGION, json.dumps(texts)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    found: list[dict[str, Any]] = json.loads(finished.stdout)
    return found


def fixed(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a template whose parameters have these values, and where they are chosen from a list no others."""
    parameters = {
        name: {"Type": each["Type"], "Default": values[name]}
        | ({"AllowedValues": [values[name]]} if "AllowedValues" in each else {})
        for name, each in template["Parameters"].items()
    }
    return {**template, "Parameters": parameters}

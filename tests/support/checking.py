"""Prints what the checkers find in translated templates, as JSON. Runs with the Python of `.tunehook/tools/checks`.

usage: checking.py FOLDER...       (every *.json in one is a template)

cfn-lint reads a template by the specifications of all regions. One whose name is a number has values for its
parameters, and is a variant of one that has none: it is read in one region of all that specify its types alike.

What is found in each folder is a list of ``[tool, rule, where, message]``; `where` is the logical id of a resource, or
the name of a section and of what is in it.
"""

import json
import logging
import re
import sys
from pathlib import Path

from cfnlint.api import lint
from cfnlint.config import ManualArgs
from cfnlint.helpers import REGIONS
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from checkov.cloudformation.runner import Runner
from checkov.runner_filter import RunnerFilter
from parliament import analyze_policy_string, enhance_finding

ACCOUNT = "123456789012"
ARNS = {
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:us-east-1:{account}:table/{name}",
    "AWS::Events::EventBus": "arn:aws:events:us-east-1:{account}:event-bus/{name}",
    "AWS::Events::Rule": "arn:aws:events:us-east-1:{account}:rule/bus/{name}",
    "AWS::IAM::Role": "arn:aws:iam::{account}:role/{name}",
    "AWS::Lambda::Function": "arn:aws:lambda:us-east-1:{account}:function:{name}",
    "AWS::Logs::LogGroup": "arn:aws:logs:us-east-1:{account}:log-group:{name}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::SecretsManager::Secret": "arn:aws:secretsmanager:us-east-1:{account}:secret:{name}-abcdef",
    "AWS::SQS::Queue": "arn:aws:sqs:us-east-1:{account}:{name}",
}
"""What an attribute that names a resource is, by the resource's type; of a stream, its table's."""
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": ACCOUNT,
    "AWS::StackName": "tunehook",
}


def distinct_regions(template):
    """Return one region of all that specify the template's types of resources alike."""
    specified = {region: [] for region in REGIONS}
    for kind in sorted({each["Type"] for each in template["Resources"].values()}):
        groups = PROVIDER_SCHEMA_MANAGER.get_resource_schemas_by_regions(kind, REGIONS)
        for number, (regions, _) in enumerate(groups):
            for region in regions:
                specified[region].append((kind, number))
    return list({tuple(each): region for region, each in specified.items()}.values())


def by_cfn_lint(text, regions):
    """Yield what cfn-lint finds, by the specifications of these regions."""
    # Of a parameter that has one value, one side of its conditions is not reachable.
    config = ManualArgs(regions=regions, ignore_checks=["W1028"])
    for match in lint(text, config=config):
        path = [str(each) for each in match.path or ()]
        where = path[1] if path[:1] == ["Resources"] else "/".join(path[:2])
        yield "cfn-lint", match.rule.id, where, match.message


def by_checkov(folder):
    """Yield what checkov finds in all templates of a folder."""
    report = Runner().run(root_folder=str(folder), runner_filter=RunnerFilter(framework=["cloudformation"]))
    assert not report.parsing_errors, report.parsing_errors
    for each in report.failed_checks:
        yield "checkov", each.check_id, each.resource.split(".")[-1], each.check_name


def by_parliament(template):
    """Yield what parliament finds in the policies of a template."""
    for name, resource in template["Resources"].items():
        for document in documents_of(resource):
            policy = analyze_policy_string(json.dumps(concrete(document, template)))
            for finding in policy.findings:
                told = enhance_finding(finding)
                yield "parliament", told.issue, name, f"{told.title} {told.detail}"


def documents_of(resource):
    """Yield the policies that a resource has or is."""
    properties = resource.get("Properties", {})
    for each in properties.get("Policies", ()):
        yield each["PolicyDocument"]
    if resource["Type"] == "AWS::Events::EventBusPolicy":
        yield {
            "Version": "2012-10-17",
            "Statement": [{"Sid": properties["StatementId"], **properties["Statement"]}],
        }
    elif "PolicyDocument" in properties:
        yield properties["PolicyDocument"]


def concrete(value, template):
    """Return a policy with ARNs for its references, and of what hangs on a condition that which says more."""
    match value:
        case {"Ref": str(name)}:
            return PSEUDO[name]
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return arn(template, name, attribute)
        case {"Fn::Sub": str(text)}:
            attributes = {
                f"{name}.Arn": arn(template, name, "Arn")
                for name, each in template["Resources"].items()
                if each["Type"] in ARNS
            }
            return re.sub(r"\$\{([^}]+)\}", lambda match: (PSEUDO | attributes)[match[1]], text)
        case {"Fn::If": [_, yes, no]}:
            return concrete(no if yes == {"Ref": "AWS::NoValue"} else yes, template)
        case dict():
            return {key: concrete(each, template) for key, each in value.items()}
        case list():
            return [concrete(each, template) for each in value]
    return value


def arn(template, name, attribute):
    """Return what an attribute might be."""
    found = ARNS[template["Resources"][name]["Type"]].format(account=ACCOUNT, name=name)
    return f"{found}/stream/2026-11-28" if attribute == "StreamArn" else found


def found_in(folder):
    """Return what is found in the templates of a folder, each finding once."""
    found = set(by_checkov(folder))
    for path in sorted(Path(folder).glob("*.json")):
        text = path.read_text()
        template = json.loads(text)
        regions = distinct_regions(template) if path.stem.isdecimal() else list(REGIONS)
        found.update(by_cfn_lint(text, regions))
        found.update(by_parliament(template))
    return sorted(found)


def main(*folders):
    logging.disable(logging.CRITICAL)
    json.dump({folder: found_in(folder) for folder in folders}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Prints a SAM template as the CloudFormation template that it stands for, as JSON.

usage: translate.py TEMPLATE REGION [VALUES]    (with the Python of the SAM CLI, whose translator it runs, offline)

VALUES is a JSON list of what parameters are given; with it, a list of templates is printed, one for each.
"""

import json
import sys
from pathlib import Path

import boto3
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator


def uploaded(properties, name):
    """Put what `sam deploy` would write in the place of a folder of this machine."""
    if name in properties:
        properties[name] = "s3://bucket/key"


def translated(path, region, values):
    """Return what becomes of the template where parameters have these values."""
    template = yaml_parse(Path(path).read_text())
    for settings in template.get("Globals", {}).values():
        uploaded(settings, "CodeUri")
    for resource in template["Resources"].values():
        if resource["Type"].startswith("AWS::Serverless::"):
            uploaded(resource["Properties"], "CodeUri")
            uploaded(resource["Properties"], "ContentUri")
    translator = Translator(None, Parser(), boto_session=boto3.Session(region_name=region))
    return translator.translate(template, parameter_values=values)


def main(path, region, values=None):
    # Without values parameters stay references.
    found = (
        translated(path, region, {})
        if values is None
        else [translated(path, region, each) for each in json.loads(values)]
    )
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])

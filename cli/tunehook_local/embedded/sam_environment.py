"""The environment file of `sam local invoke`, with which a function in a container works on the embedded stack."""

from __future__ import annotations

from tunehook.errors import Misconfigured
from tunehook_local.embedded.docker_network import url_for_containers
from tunehook_local.embedded.state import LocalEnvironment


def environment_file(environment: LocalEnvironment) -> dict[str, dict[str, str]]:
    """Return the file's content, by logical id: a function's variables, and where containers find the embedded AWS.

    Raises `Misconfigured` without the deployed stack, or if containers do not reach it; `Unavailable` without Docker.
    """
    if environment.stack_status() is None:
        raise Misconfigured(
            f"the stack {environment.stack_name} is not deployed: deploy it with `tunehook local up`"
        )
    endpoint = {"AWS_ENDPOINT_URL": url_for_containers(environment.endpoint)}
    pages = environment.client("cloudformation").get_paginator("list_stack_resources")
    functions = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages.paginate(StackName=environment.stack_name)
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] == "AWS::Lambda::Function"
    }
    lambdas = environment.client("lambda")
    return {
        logical_id: lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        | endpoint
        for logical_id, name in functions.items()
    }

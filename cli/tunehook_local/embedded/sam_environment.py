"""What `sam local invoke` has to be told, so that a function in a container works on the embedded stack."""

from __future__ import annotations

from typing import Final

from tunehook.errors import Misconfigured
from tunehook_local.embedded.deployed import stack_status
from tunehook_local.embedded.docker_network import url_for_containers
from tunehook_local.embedded.state import LocalEnvironment

ENDPOINT_VARIABLE: Final = "AWS_ENDPOINT_URL"


def environment_file(environment: LocalEnvironment) -> dict[str, dict[str, str]]:
    """Return the content of the file for the option ``--env-vars``.

    Parameters
    ----------
    environment : LocalEnvironment
        The embedded AWS, with the stack deployed to it.

    Returns
    -------
    dict
        By the functions' logical ids: the variables that they have been deployed with, and where containers find the
        embedded AWS.

    Raises
    ------
    Misconfigured
        If the stack is not deployed, or containers do not reach it.
    Unavailable
        If no Docker engine runs.
    """
    if stack_status(environment) is None:
        raise Misconfigured(
            f"the stack {environment.stack_name} is not deployed: do so with `tunehook local up`"
        )
    endpoint = {ENDPOINT_VARIABLE: url_for_containers(environment.endpoint)}
    lambdas = environment.client("lambda")
    return {
        logical_id: lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        | endpoint
        for logical_id, name in _functions(environment).items()
    }


def _functions(environment: LocalEnvironment) -> dict[str, str]:
    """The names of the stack's functions, by their logical ids."""
    pages = environment.client("cloudformation").get_paginator("list_stack_resources")
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages.paginate(StackName=environment.stack_name)
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] == "AWS::Lambda::Function"
    }

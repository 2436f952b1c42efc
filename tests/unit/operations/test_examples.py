"""The example in the docstring of each operation, against a stack on moto."""

import doctest
import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

import pytest
from tests.support.aws import client

import tunehook.operations
from tunehook.operations.deliveries import get_delivery
from tunehook.operations.providers import get_provider
from tunehook.operations.recovery import RecoveryScope
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import get_subscription
from tunehook.operations.tasks import get_task

MODULES = [
    importlib.import_module(f"tunehook.operations.{module.name}")
    for module in pkgutil.iter_modules(tunehook.operations.__path__)
]
EXAMPLES = [
    example for module in MODULES for example in doctest.DocTestFinder().find(module) if example.examples
]
WITHOUT = {"sample_delivery", "check_endpoint", "better_places", "is_known_key", "advise", "describe_probe"}
"""What other tests show better, and the parts of `read_status`, whose example shows one of them."""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_is_true(found: Stack, example: doctest.DocTest) -> None:
    example.globs |= {
        "stack": found,
        "client": lambda service, **_: client(service),
        "get_task": get_task,
        "get_delivery": get_delivery,
        "RecoveryScope": RecoveryScope,
        "get_subscription": get_subscription,
        "get_provider": get_provider,
    }
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(example, out=told.append)
    assert runner.failures == 0, "".join(told)


CHECKS = ("subscribe", "change_subscription", "enable_subscription")
"""Of `tunehook.operations.endpoint_checks`: each waits for a worker, which no stack on moto has."""


def operations_of(module: ModuleType) -> list[Any]:
    return [
        value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_operation_has_an_example(module: ModuleType) -> None:
    for function in operations_of(module):
        takes_a_stack = "stack" in inspect.signature(function).parameters
        is_part = module.__name__.endswith(".status") and function.__name__ != "read_status"
        is_part |= module.__name__.endswith(".endpoint_checks") and function.__name__ in CHECKS
        if takes_a_stack and not is_part and function.__name__ not in WITHOUT:
            assert ">>>" in str(function.__doc__), function.__name__

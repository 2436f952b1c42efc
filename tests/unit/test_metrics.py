"""Which stack a metric is of."""

import pytest

from tunehook.metrics import function_dimension


def test_a_metric_names_the_function_that_wrote_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "tunehook-poller")
    assert function_dimension() == {"function_name": "tunehook-poller"}


def test_outside_of_lambda_a_metric_names_no_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    assert function_dimension() == {}

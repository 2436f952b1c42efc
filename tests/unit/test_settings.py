import pytest
from pydantic import BaseModel, Field

from fulfillment.settings import FulfillmentSettings
from intake.settings import IntakeSettings
from poller.settings import PollerSettings
from tunehook.errors import Misconfigured
from tunehook.http.guard import NetworkPolicy
from tunehook.settings import load_settings

INTAKE = {
    "TASKS_TABLE": "tasks",
    "TASKS_STREAM": "stream",
    "PROVIDER_STATES_TABLE": "states",
    "EVENT_BUS": "bus",
    "LEASES_TABLE": "leases",
    "POLLER_FUNCTION": "poller",
    "FULFILLMENT_QUEUE": "fulfillment",
    "SHARD_COUNT": "2",
    "NETWORK_POLICY": "public",
}


def test_each_field_is_read_from_the_variable_of_its_name() -> None:
    settings = load_settings(IntakeSettings, INTAKE)
    assert (settings.tasks_table, settings.leases_table) == ("tasks", "leases")
    assert (settings.shard_count, settings.network_policy) == (2, NetworkPolicy.PUBLIC)


def test_variables_of_others_are_ignored() -> None:
    assert load_settings(IntakeSettings, INTAKE | {"PATH": "/bin", "AWS_REGION": "x"})


@pytest.mark.parametrize("model", [IntakeSettings, PollerSettings, FulfillmentSettings])
def test_the_error_names_every_variable_that_is_missing(model: type[BaseModel]) -> None:
    with pytest.raises(Misconfigured) as caught:
        load_settings(model, {})
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    assert required
    assert all(f"{name.upper()} (" in str(caught.value) for name in required)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TASKS_TABLE", ""), ("SHARD_COUNT", "0"), ("SHARD_COUNT", "many"), ("NETWORK_POLICY", "private")],
)
def test_the_error_names_a_variable_that_is_not_acceptable_and_no_other(variable: str, value: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load_settings(IntakeSettings, INTAKE | {variable: value})
    assert [name for name in INTAKE if name in str(caught.value)] == [variable]


def test_the_error_does_not_hold_the_value() -> None:
    class WithSecret(BaseModel):
        api_key: str = Field(min_length=100)

    with pytest.raises(Misconfigured) as caught:
        load_settings(WithSecret, {"API_KEY": "sk-secret"})
    assert "sk-secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_without_a_mapping_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in INTAKE.items():
        monkeypatch.setenv(name, value)
    assert load_settings(IntakeSettings) == load_settings(IntakeSettings, INTAKE)

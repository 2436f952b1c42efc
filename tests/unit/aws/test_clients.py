"""How patient a client is with AWS."""

from unittest.mock import AsyncMock

import boto3
import certifi
import pytest

from tunehook.aws.clients import client, close_in_loop


def test_a_client_tries_four_times_and_gives_a_silent_peer_up_within_seconds(aws: None) -> None:
    config = client("dynamodb").meta.config
    assert config.retries == {"mode": "standard", "total_max_attempts": 4}
    assert (config.connect_timeout, config.read_timeout, config.max_pool_connections) == (2, 10, 32)


def test_a_client_may_be_given_other_settings_another_session_and_another_place(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = boto3.Session(region_name="ap-northeast-1")
    made = client("sqs", session=session, endpoint_url="http://127.0.0.1:1", read_timeout=2)
    assert (made.meta.region_name, made.meta.endpoint_url) == ("ap-northeast-1", "http://127.0.0.1:1")
    assert (made.meta.config.read_timeout, made.meta.config.connect_timeout) == (2, 2)


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_either_variable_of_botocore_says_which_authorities_a_light_client_trusts(
    aws: None, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for each in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(variable, certifi.where())
    assert client("dynamodb")._bundle == certifi.where()


async def test_the_connections_that_a_light_client_has_in_the_loop_are_closed_and_others_are_left(
    aws: None,
) -> None:
    made = client("dynamodb")
    opened = made._transport = AsyncMock()
    await close_in_loop(made)
    await close_in_loop(made)
    opened.close.assert_awaited_once_with()
    other = client("lambda")
    await close_in_loop(other)
    assert other.meta.service_model.service_name == "lambda"

"""How patient a client is with AWS."""

import boto3
import pytest

from tunehook.aws.clients import client


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

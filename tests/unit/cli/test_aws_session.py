import pytest
from botocore.exceptions import DataNotFoundError

from tunehook_cli.aws_session import new_session


def test_its_clients_are_those_of_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    session = new_session(region_name="eu-west-1", aws_access_key_id="k", aws_secret_access_key="s")
    client = session.client("cloudformation")
    assert client.meta.endpoint_url == "https://cloudformation.eu-west-1.amazonaws.com"
    assert callable(client.describe_stacks)
    assert session.client("s3").meta.service_model.service_name == "s3"


def test_a_service_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(DataNotFoundError):
        new_session(region_name="eu-west-1").client("no-such-service")

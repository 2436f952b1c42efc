import pytest
from botocore.exceptions import ClientError
from tests.support.aws import Faulty, client, fault

from tunehook.aws.secrets import read_secret, write_secret
from tunehook.errors import Misconfigured


def test_a_secret_is_read_by_its_arn(aws: None) -> None:
    arn = client("secretsmanager").create_secret(Name="providers", SecretString='{"a": 1}')["ARN"]
    assert read_secret(client("secretsmanager"), arn) == '{"a": 1}'


def test_a_written_secret_is_read_anew(aws: None) -> None:
    client("secretsmanager").create_secret(Name="providers", SecretString="{}")
    write_secret(client("secretsmanager"), "providers", "new")
    assert read_secret(client("secretsmanager"), "providers") == "new"


def test_a_secret_that_is_not_there_is_a_misconfiguration(aws: None) -> None:
    with pytest.raises(Misconfigured, match="the secret providers is not there"):
        read_secret(client("secretsmanager"), "providers")
    with pytest.raises(Misconfigured, match="the secret providers is not there"):
        write_secret(client("secretsmanager"), "providers", "new")


def test_a_secret_of_bytes_is_a_misconfiguration(aws: None) -> None:
    client("secretsmanager").create_secret(Name="providers", SecretBinary=b"{}")
    with pytest.raises(Misconfigured, match="holds no text"):
        read_secret(client("secretsmanager"), "providers")


def test_a_fault_of_the_service_stays_one() -> None:
    error = fault("ThrottlingException", "GetSecretValue")
    with pytest.raises(ClientError, match="Throttling"):
        read_secret(Faulty(client("secretsmanager"), get_secret_value=[error]), "providers")

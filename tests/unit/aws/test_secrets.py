from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.aws import Faulty, client, fault

from tunehook.aws.secrets import change_secret, read_secret
from tunehook.errors import Misconfigured, Unavailable


def test_a_secret_is_read_by_its_arn(aws: None) -> None:
    arn = client("secretsmanager").create_secret(Name="providers", SecretString='{"a": 1}')["ARN"]
    assert read_secret(client("secretsmanager"), arn) == '{"a": 1}'


def no_sleep(_: float) -> None: ...


def change(text: str, by: Any = None) -> str:
    """Change the secret, and return what it held before."""
    return change_secret(by or client("secretsmanager"), "providers", lambda before: (text, before), no_sleep)


def labels() -> dict[str, list[str]]:
    versions = client("secretsmanager").list_secret_version_ids(SecretId="providers", IncludeDeprecated=True)
    return {each["VersionId"]: sorted(each.get("VersionStages", [])) for each in versions["Versions"]}


def test_a_changed_secret_is_read_anew_and_the_one_before_stays_the_previous(aws: None) -> None:
    client("secretsmanager").create_secret(Name="providers", SecretString="{}")
    assert change("new") == "{}"
    assert read_secret(client("secretsmanager"), "providers") == "new"
    assert sorted(labels().values()) == [["AWSCURRENT"], ["AWSPREVIOUS"]]


def test_two_changes_at_once_lose_none(aws: None) -> None:
    client("secretsmanager").create_secret(Name="providers", SecretString="a")
    others = iter("bc")

    def slowly(text: str) -> tuple[str, str]:
        # Between our reading and our writing, somebody else reads and writes.
        if (other := next(others, None)) is not None:
            change_secret(client("secretsmanager"), "providers", lambda now: (now + other, None), no_sleep)
        return text + "x", text

    assert change_secret(client("secretsmanager"), "providers", slowly, no_sleep) == "abc"
    assert read_secret(client("secretsmanager"), "providers") == "abcx"
    assert all(not label.startswith("tunehook") for some in labels().values() for label in some)


def test_a_put_by_hand_at_the_same_moment_is_changed_and_not_lost(aws: None) -> None:
    secrets = client("secretsmanager")
    secrets.create_secret(Name="providers", SecretString="a")
    seen = []

    def slowly(text: str) -> tuple[str, None]:
        if not seen:
            secrets.put_secret_value(SecretId="providers", SecretString="by hand")
        seen.append(text)
        return text + "x", None

    change_secret(secrets, "providers", slowly, no_sleep)
    assert seen == ["a", "by hand"]
    assert read_secret(secrets, "providers") == "by handx"


class Forgetful:
    """Secrets Manager whose every update of a label is applied and asked for once more, as botocore does."""

    def __init__(self) -> None:
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(client("secretsmanager"), name)

    def update_secret_version_stage(self, **call: Any) -> Any:
        self.calls += 1
        client("secretsmanager").update_secret_version_stage(**call)
        return client("secretsmanager").update_secret_version_stage(**call)


def test_a_change_whose_answer_was_lost_is_known_as_ones_own(aws: None) -> None:
    client("secretsmanager").create_secret(Name="providers", SecretString="a")
    forgetful = Forgetful()
    assert change("b", forgetful) == "a"
    assert read_secret(client("secretsmanager"), "providers") == "b"
    assert forgetful.calls == 2
    assert all(not label.startswith("tunehook") for some in labels().values() for label in some)


def test_what_changes_nothing_is_not_written(aws: None) -> None:
    client("secretsmanager").create_secret(Name="providers", SecretString="a")
    assert change("a") == "a"
    assert len(labels()) == 1


def test_a_secret_that_others_change_all_the_time_is_given_up(aws: None) -> None:
    client("secretsmanager").create_secret(Name="providers", SecretString="a")
    pauses: list[float] = []

    def never_in_time(text: str) -> tuple[str, None]:
        client("secretsmanager").put_secret_value(SecretId="providers", SecretString=text + "y")
        return text + "x", None

    with pytest.raises(Unavailable, match="changed by others all the time"):
        change_secret(client("secretsmanager"), "providers", never_in_time, pauses.append)
    assert len(pauses) == 20
    assert "x" not in read_secret(client("secretsmanager"), "providers")


def test_a_refusal_that_is_nobodys_change_is_told(aws: None) -> None:
    client("secretsmanager").create_secret(Name="providers", SecretString="a")
    for code in ("InvalidRequestException", "AccessDeniedException"):
        refused = Faulty(
            client("secretsmanager"), update_secret_version_stage=[fault(code, "UpdateSecretVersionStage")]
        )
        with pytest.raises(ClientError, match=code):
            change("b", refused)
        assert read_secret(client("secretsmanager"), "providers") == "a"


@pytest.mark.parametrize("code", ["InvalidParameterException", "InvalidRequestException"])
def test_a_label_that_is_gone_already_is_no_trouble(aws: None, code: str) -> None:
    client("secretsmanager").create_secret(Name="providers", SecretString="a")
    gone = Faulty(
        client("secretsmanager"), update_secret_version_stage=[None, fault(code, "UpdateSecretVersionStage")]
    )
    assert change("b", gone) == "a"
    assert read_secret(client("secretsmanager"), "providers") == "b"


def test_that_a_label_cannot_be_removed_is_told(aws: None) -> None:
    client("secretsmanager").create_secret(Name="providers", SecretString="a")
    denied = fault("AccessDeniedException", "UpdateSecretVersionStage")
    with pytest.raises(ClientError, match="AccessDenied"):
        change("b", Faulty(client("secretsmanager"), update_secret_version_stage=[None, denied]))


def test_a_secret_that_is_not_there_is_a_misconfiguration(aws: None) -> None:
    with pytest.raises(Misconfigured, match="the secret providers is not there"):
        read_secret(client("secretsmanager"), "providers")
    with pytest.raises(Misconfigured, match="the secret providers is not there"):
        change("new")


def test_a_secret_of_bytes_is_a_misconfiguration(aws: None) -> None:
    client("secretsmanager").create_secret(Name="providers", SecretBinary=b"{}")
    with pytest.raises(Misconfigured, match="holds no text"):
        read_secret(client("secretsmanager"), "providers")


def test_a_fault_of_the_service_stays_one() -> None:
    error = fault("ThrottlingException", "GetSecretValue")
    with pytest.raises(ClientError, match="Throttling"):
        read_secret(Faulty(client("secretsmanager"), get_secret_value=[error]), "providers")


def test_a_change_that_others_come_before_is_tried_twenty_times_and_later_and_later(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunehook.aws.secrets.random.uniform", lambda least, most: (least, most))
    client("secretsmanager").create_secret(Name="providers", SecretString="a")
    pauses: list[Any] = []
    number = iter(range(100))

    def beaten(text: str) -> tuple[str, None]:
        client("secretsmanager").put_secret_value(SecretId="providers", SecretString=f"other {next(number)}")
        return "mine", None

    with pytest.raises(Unavailable, match="by others all the time"):
        change_secret(client("secretsmanager"), "providers", beaten, pauses.append)
    assert pauses == [(0, most) for most in (0.1, 0.2, 0.4, 0.8, 1.6, *[2.0] * 15)]

"""What all tests share: no test sees the environment's AWS, and moto's has the template's tables."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from moto import mock_aws
from tests.support.aws import REGION, mend_secrets


@pytest.fixture(autouse=True)
def _no_aws_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    mend_secrets(monkeypatch.setattr)
    with mock_aws():
        yield


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before what AWS refused of a batch is sent again, in seconds; nobody waits for them."""
    waited: list[float] = []
    monkeypatch.setattr("tunehook.aws.resend.sleep", waited.append)
    return waited


# How long an example takes, and how long it takes to draw one, is the machine's matter.
settings.register_profile("tunehook", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tunehook")


def pytest_configure() -> None:
    """Be ended as a terminal's programs are: a shell's background, and nohup, start what they run without these."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)

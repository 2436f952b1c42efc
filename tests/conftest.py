"""What all tests share: no test sees the environment's AWS, and moto's has the template's tables."""

import signal
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from moto import mock_aws
from tests.support.aws import REGION, mend_secrets

LONGEST: Final = (
    "tests/contract/test_checkers.py::test_nothing_is_found_but_what_is_accepted",
    "tests/contract/test_webhook_docs.py::test_the_go_code_tells_genuine_from_forged",
    "tests/account/test_embedded.py",
    "tests/stack/test_poller_kills.py",
    "tests/stack/faults/fuzz/test_fuzz.py",
    "tests/stack/faults/test_faults.py",
    "tests/stack/test_fulfillment.py",
    "tests/stack/faults/test_recovery.py",
    "tests/stack/test_readme.py",
    "tests/stack/faults/test_upgrade.py",
    "tests/stack/test_field_kinds.py",
    "tests/stack/test_described.py",
    "tests/stack/test_poller_replacement.py",
    "tests/stack/test_restart.py",
)
"""What takes longest begins first, longest first: the last of all would keep one processor alone."""


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; the others keep their order, and so do the tests of a file."""

    def rank(item: pytest.Item) -> int:
        file = item.nodeid.partition("::")[0]
        return next((n for n, each in enumerate(LONGEST) if each in (item.nodeid, file)), len(LONGEST))

    items.sort(key=rank)

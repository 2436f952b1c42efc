import asyncio
import inspect
import threading
import time
from typing import Any
from unittest.mock import Mock

import pytest
from tests.support.aws import fault
from tests.support.patience import HANG_S

from webhooks.secret import MasterSecret


class Secrets:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:  # noqa: N803 - boto3's name
        self.asked.append(SecretId)
        return {"SecretString": f"secret-{len(self.asked)}"}


async def test_the_secret_is_read_anew_after_five_minutes() -> None:
    secrets: Any = Secrets()
    now_s = [0.0]
    master = MasterSecret(secrets, "arn", clock=lambda: now_s[0])
    assert await master.get() == "secret-1"
    now_s[0] = 299.9
    assert await master.get() == "secret-1"
    now_s[0] = 300.0
    assert await master.get() == "secret-2"
    assert secrets.asked == ["arn", "arn"]


async def test_a_secret_that_is_known_takes_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets: Any = Secrets()
    master = MasterSecret(secrets, "arn")
    assert await master.get() == "secret-1"
    monkeypatch.setattr(asyncio, "to_thread", Mock(side_effect=AssertionError("a thread")))
    assert await master.get() == "secret-1"


async def test_the_messages_of_a_cold_batch_read_it_once() -> None:
    secrets: Any = Secrets()
    go = threading.Event()
    read = secrets.get_secret_value

    def slow(**name: str) -> Any:
        assert go.wait(HANG_S)
        return read(**name)

    secrets.get_secret_value = slow
    master = MasterSecret(secrets, "arn")
    batch = [asyncio.create_task(master.get()) for _ in range(10)]
    await asyncio.sleep(0)  # all of them have asked
    go.set()
    assert await asyncio.gather(*batch) == ["secret-1"] * 10
    assert secrets.asked == ["arn"]


async def test_a_known_secret_is_kept_while_it_cannot_be_read_anew() -> None:
    secrets: Any = Secrets()
    now_s = [0.0]
    master = MasterSecret(secrets, "arn", clock=lambda: now_s[0])
    await master.get()
    now_s[0] = 301.0

    def down(**_: str) -> Any:
        raise OSError("InternalServiceError")

    secrets.get_secret_value = down
    assert await master.get() == "secret-1"


async def test_a_secret_that_cannot_be_read_is_asked_for_again() -> None:
    secrets: Any = Secrets()
    read = secrets.get_secret_value

    def throttled(**_: str) -> Any:
        secrets.get_secret_value = read
        raise OSError("throttled")

    secrets.get_secret_value = throttled
    master = MasterSecret(secrets, "arn")
    with pytest.raises(OSError, match="throttled"):
        await master.get()
    assert await master.get() == "secret-1"


async def test_all_who_wait_for_it_share_one_read() -> None:
    secrets: Any = Secrets()
    master = MasterSecret(secrets, "arn")
    assert await asyncio.gather(*(master.get() for _ in range(10))) == ["secret-1"] * 10
    assert secrets.asked == ["arn"]


async def test_a_read_that_fails_leaves_what_is_known_for_five_seconds() -> None:
    secrets: Any = Secrets()
    now_s = [0.0]
    master = MasterSecret(secrets, "arn", clock=lambda: now_s[0])
    assert await master.get() == "secret-1"
    read = secrets.get_secret_value
    secrets.get_secret_value = Mock(side_effect=fault("ThrottlingException", "GetSecretValue"))
    for now_s[0] in (300.0, 304.9, 305.0):
        assert await master.get() == "secret-1"
    assert secrets.get_secret_value.call_count == 2
    secrets.get_secret_value = read
    now_s[0] = 310.0
    assert await master.get() == "secret-2"


async def test_its_age_goes_by_the_wall_clock_which_goes_on_while_lambda_halts_the_process() -> None:
    assert inspect.signature(MasterSecret).parameters["clock"].default is time.time

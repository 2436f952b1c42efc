import json
from typing import Any

import pytest
from tests.support.aws import fault
from tests.support.recipes import ENTRY, RECIPE
from tests.support.tasks import NOW_MS

from poller.registry import ProviderRegistry
from tunehook.errors import Misconfigured
from tunehook.http.transport import HttpTransport
from tunehook.times import SteadySeconds

# As documented, and not imported: a bound that moves is to be noticed.
CONNECTIONS_MAX = 900
RELOAD_EVERY_MS = 60_000
RETRY_AFTER_MS = 5_000


def entry(**fields: Any) -> dict[str, Any]:
    return {"kind": "suno", "base_url": "https://gw.example.com", "api_key": "sk-12345678", **fields}


class Secret:
    """The secret and the clock of a registry."""

    def __init__(self, **providers: Any) -> None:
        self.now_ms = NOW_MS
        self.reads = 0
        self.error: Exception | None = None
        self.text = json.dumps(providers)
        seconds = SteadySeconds(lambda: self.now_ms)
        self.directory = ProviderRegistry(self._read, HttpTransport(), lambda: self.now_ms, seconds)

    def _read(self) -> str:
        self.reads += 1
        if self.error:
            raise self.error
        return self.text

    def write(self, **providers: Any) -> None:
        self.text = json.dumps(providers)

    async def later(self, milliseconds: int = RELOAD_EVERY_MS) -> bool:
        self.now_ms += milliseconds
        return await self.directory.refresh()


async def test_a_provider_is_found_by_its_name() -> None:
    secret = Secret(gw=entry(), other=entry(kind="musicmint"))
    assert await secret.directory.refresh()
    found = {name: secret.directory.get(name) for name in ("gw", "other", "unknown")}
    assert {name: provider and provider.config.kind for name, provider in found.items()} == {
        "gw": "suno",
        "other": "musicmint",
        "unknown": None,
    }


async def test_the_secret_is_read_once_a_minute_at_most() -> None:
    secret = Secret(gw=entry())
    await secret.directory.refresh()
    await secret.later(RELOAD_EVERY_MS - 1)
    assert secret.reads == 1
    await secret.later(1)
    assert secret.reads == 2


async def test_a_new_provider_is_found_soon() -> None:
    secret = Secret(gw=entry())
    await secret.directory.refresh()
    secret.write(gw=entry(), new=entry())
    await secret.later()
    assert secret.directory.get("new") is not None


async def test_while_a_name_is_wanted_that_there_is_not_the_secret_is_read_every_five_seconds() -> None:
    secret = Secret(gw=entry())
    await secret.directory.refresh()
    for reads in (1, 2):
        secret.directory.get("new")
        await secret.later(RETRY_AFTER_MS - 1)
        secret.directory.get("new")
        assert secret.reads == reads
        await secret.later(1)
        assert secret.reads == reads + 1


async def test_once_the_secret_is_good_again_what_was_wrong_with_it_is_forgotten() -> None:
    secret = Secret()
    secret.text = "[]"
    await secret.directory.refresh()
    assert (
        secret.directory.problem("gw").message
        == "the provider gw cannot be used: providers: is not a JSON object"
    )
    secret.write(other=entry())
    await secret.later()
    assert secret.directory.problem("gw").message == "the provider gw is not configured"


async def test_a_removed_provider_is_gone() -> None:
    secret = Secret(gw=entry(), old=entry())
    await secret.directory.refresh()
    secret.write(gw=entry())
    await secret.later()
    assert secret.directory.get("old") is None


async def test_a_provider_whose_entry_is_the_same_stays_pauses_and_all() -> None:
    secret = Secret(gw=entry(), other=entry())
    await secret.directory.refresh()
    gw, other = secret.directory.get("gw"), secret.directory.get("other")
    secret.write(gw=entry(), other=entry(api_key="sk-87654321"))
    await secret.later()
    assert secret.directory.get("gw") is gw
    assert secret.directory.get("other") is not other


async def test_a_pause_goes_on_while_the_process_is_halted_and_is_not_longer_for_a_clock_that_is_set_back() -> (
    None
):
    secret = Secret(gw=entry())
    await secret.directory.refresh()
    gateway = secret.directory.get("gw")
    assert gateway is not None
    assert secret.directory.pause_left_s(gateway) == 0
    gateway.restore_pause(60, "throttled")
    secret.now_ms += 20_000
    assert secret.directory.pause_left_s(gateway) == pytest.approx(40)
    secret.now_ms -= 3_600_000
    assert secret.directory.pause_left_s(gateway) == pytest.approx(40)
    secret.now_ms += 40_000
    assert not gateway.is_paused()


async def test_a_bad_entry_does_not_disturb_the_others() -> None:
    secret = Secret(gw=entry(), bad=entry(kind="unknown"))
    assert await secret.directory.refresh()
    assert secret.directory.get("gw") is not None
    assert secret.directory.get("bad") is None
    assert secret.directory.problem("bad").is_certain
    assert secret.directory.problem("nobody").is_certain


async def test_a_bad_recipe_makes_its_provider_wait_alone_and_says_where_it_is_bad() -> None:
    words = {"succeeded": ["done"], "failed": ["sk-12345678", "done"]}
    bad = ENTRY | {"recipe": RECIPE | {"words": words}}
    secret = Secret(gw=entry(), good=ENTRY, bad=bad, unknown=ENTRY | {"recipe": "sk-12345678"})
    assert await secret.directory.refresh()
    assert [secret.directory.get(name) is not None for name in ("gw", "good", "bad", "unknown")] == [
        True,
        True,
        False,
        False,
    ]
    problem = secret.directory.problem("bad")
    assert problem.is_certain
    assert "the provider bad cannot be used: providers.bad.recipe.words" in problem.message
    assert "sk-12345678" not in f"{problem} {secret.directory.problem('unknown')}"


async def test_a_recipe_that_is_the_same_leaves_its_provider_as_it_is() -> None:
    secret = Secret(described=ENTRY)
    await secret.directory.refresh()
    described = secret.directory.get("described")
    secret.write(described=ENTRY, new=entry())
    await secret.later()
    assert secret.directory.get("described") is described
    secret.write(described=ENTRY | {"recipe": "replicate"})
    await secret.later()
    assert secret.directory.get("described") is not described


async def test_a_secret_that_becomes_nonsense_leaves_the_providers_as_they_are() -> None:
    secret = Secret(gw=entry())
    await secret.directory.refresh()
    secret.text = "no JSON"
    assert await secret.later()
    assert secret.directory.get("gw") is not None


@pytest.mark.parametrize("error", [fault("ThrottlingException", "GetSecretValue"), Misconfigured("gone")])
async def test_a_secret_that_cannot_be_read_is_not_known(error: Exception) -> None:
    secret = Secret(gw=entry())
    secret.error = error
    assert not await secret.directory.refresh()


async def test_a_secret_that_cannot_be_read_again_is_still_known() -> None:
    secret = Secret(gw=entry())
    await secret.directory.refresh()
    secret.error = fault("ThrottlingException", "GetSecretValue")
    assert await secret.later()
    assert secret.directory.get("gw") is not None


async def test_a_secret_that_could_not_be_read_is_tried_again_after_five_seconds() -> None:
    secret = Secret(gw=entry())
    secret.error = fault("ThrottlingException", "GetSecretValue")
    await secret.directory.refresh()
    secret.error = None
    assert not await secret.later(RETRY_AFTER_MS - 1)
    assert await secret.later(1)


async def test_no_key_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    await Secret(gw=entry(base_url="nowhere"), bad=entry(kind="sk-12345678")).directory.refresh()
    assert "provider_misconfigured" in caplog.text
    assert "sk-12345678" not in caplog.text


async def test_the_connections_are_divided_so_that_no_provider_takes_anothers() -> None:
    secret = Secret(a=entry(max_concurrency=1000), b=entry(max_concurrency=1000), c=entry(max_concurrency=32))
    await secret.directory.refresh()
    found = [secret.directory.get(name) for name in "abc"]
    granted = [provider.config.max_concurrency for provider in found if provider]
    assert granted == [(CONNECTIONS_MAX - 32) // 2, (CONNECTIONS_MAX - 32) // 2, 32]


async def test_of_very_many_providers_each_has_a_connection() -> None:
    names = [f"p{number}" for number in range(CONNECTIONS_MAX + 50)]
    secret = Secret(**{name: entry() for name in names})
    await secret.directory.refresh()
    found = [secret.directory.get(name) for name in names]
    assert {provider.config.max_concurrency for provider in found if provider} == {1}

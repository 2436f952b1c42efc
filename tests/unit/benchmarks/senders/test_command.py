"""The command line: what it needs, and what it does with commands that are given to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest
from benchmarks.senders import __main__ as command
from benchmarks.senders.adapter import Refused
from benchmarks.senders.books import new_event_id
from benchmarks.senders.measuring import PHASES, Sizes

from tunehook_local.embedded.ministack import free_port


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (["svix", "--key", "k"], "--url"),
        (["outpost", "--url", "http://127.0.0.1:1"], "--key"),
        (["convoy", "--url", "http://127.0.0.1:1", "--key", "k"], "--project"),
        (["hook0", "--url", "http://127.0.0.1:1", "--key", "k"], "--application"),
    ],
)
async def test_what_a_peer_needs_is_asked_for(
    words: Sequence[str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(command.KEY_VARIABLE, raising=False)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(SystemExit, match=missing):
            command.peer(session, command.parser().parse_args(words))


@pytest.mark.parametrize("name", ["svix", "outpost", "convoy", "hook0"])
async def test_a_peer_gets_its_own_adapter(name: str) -> None:
    words = [name, "--url", "http://127.0.0.1:1", "--key", "k", "--project", "p", "--application", "a"]
    async with aiohttp.ClientSession() as session:
        assert command.peer(session, command.parser().parse_args(words)).name == name


def test_the_key_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(command.KEY_VARIABLE, "from-there")
    assert command.parser().parse_args(["svix"]).key == "from-there"


def test_sizes_are_those_of_the_options() -> None:
    words = ["svix", "--count", "200", "--rate", "5", "--seconds", "4", "--retry-after", "60", "--quiet", "9"]
    sizes = command.sizes_of(command.parser().parse_args(words))
    assert sizes == Sizes(count=200, rate=5.0, seconds=4.0, retry_after_s=60, answers_s=90.0, quiet_s=9.0)


@pytest.mark.parametrize("option", ["--count", "--rate", "--seconds", "--clients", "--retry-after", "--most"])
def test_a_size_of_nothing_is_refused(option: str) -> None:
    with pytest.raises(SystemExit, match=option):
        command.sizes_of(command.parser().parse_args(["svix", option, "0"]))


def test_phases_are_chosen_by_name() -> None:
    assert command.phases_of(command.parser().parse_args(["svix"])) == PHASES
    assert command.phases_of(command.parser().parse_args(["svix", "--only", "drain,kill"])) == (
        "drain",
        "kill",
    )
    with pytest.raises(SystemExit, match="sleep"):
        command.phases_of(command.parser().parse_args(["svix", "--only", "drain,sleep"]))


async def test_a_command_is_run_in_a_shell(tmp_path: Path) -> None:
    file = tmp_path / "done"
    await command.by_command("--kill-command", f"echo yes > {file}")()
    assert file.read_text() == "yes\n"


async def test_a_command_that_fails_is_told() -> None:
    with pytest.raises(Refused, match="--kill-command: no answer ended with the status 3"):
        await command.by_command("--kill-command", "exit 3")()


async def test_a_command_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "COMMAND_S", 0.01)
    with pytest.raises(Refused, match="did not end"):
        await command.by_command("--restart-command", "sleep 1000")()


def test_commands_that_are_not_given_are_named() -> None:
    options = command.parser().parse_args(["svix", "--kill-command", "true"])
    happenings, missing = command.of_commands(options)
    assert set(happenings) == {"kill"}
    assert missing == {"restart": "no --restart-command was given"}


async def test_of_a_deployed_tunehook_the_provider_is_played(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tunehook", "--url", "http://127.0.0.1:1", "--key", "k", "--provider-port", str(free_port())]
    task_id = new_event_id()
    options = command.parser().parse_args(words)
    async with aiohttp.ClientSession() as session, command.opened(session, options) as subject:
        assert subject.sender.name == "tunehook"
        base_url = capsys.readouterr().out.rpartition(" ")[2].strip()
        headers = {"authorization": "Bearer any"}
        async with session.get(f"{base_url}/suno/fetch/{task_id}", headers=headers) as answer:
            told = await answer.json()
    assert told["data"]["status"] == "FAILURE"
    assert subject.no_happening == {
        "kill": "no --kill-command was given",
        "restart": "no --restart-command was given",
    }


async def test_a_deployed_tunehook_needs_a_port_for_its_provider() -> None:
    options = command.parser().parse_args(["tunehook", "--url", "http://127.0.0.1:1", "--key", "k"])
    async with aiohttp.ClientSession() as session:
        with pytest.raises(SystemExit, match="--provider-port"):
            async with command.opened(session, options):
                pass


def test_a_column_names_version_machine_and_load(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A Processor\nmodel name\t: A Processor\n")
    text = command.describe("1.2.3", 4.04, 5.0, cpuinfo)
    assert text.startswith("1.2.3, 20")
    assert "(A Processor)" in text
    assert text.endswith("load average 4.0 before and 5.0 after.")


def test_a_sender_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main([])
    assert "name a sender" in capsys.readouterr().err

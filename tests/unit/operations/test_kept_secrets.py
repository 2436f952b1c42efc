"""The secrets that a process keeps: read once a minute, and sooner where what is kept does not do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.aws import fault

from tunehook.errors import InvalidInput, NotFound
from tunehook.operations.kept_secrets import KeptSecrets

ENTRY = {"kind": "suno", "base_url": "https://gw.example.com", "api_key": "sk-0123456789abcdef0123"}


@dataclass
class World:
    """A stack's secrets, and a clock."""

    entries: dict[str, Any] = field(default_factory=lambda: {"gw": dict(ENTRY)})
    reads: int = 0
    master_reads: int = 0
    now_s: float = 1_000_000.0
    fails: bool = False
    told: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kept = KeptSecrets(self, on_fault=self.told.append, clock=lambda: self.now_s)  # type: ignore[arg-type]

    def providers_json(self) -> str:
        self.reads += 1
        if self.fails:
            raise fault()
        return json.dumps(self.entries)

    def master_secret(self) -> str:
        self.master_reads += 1
        if self.fails:
            raise fault()
        return f"master {self.master_reads}"

    def key(self, name: str = "gw") -> str:
        return self.kept.provider(name).api_key.get_secret_value()


def test_they_are_read_once_a_minute() -> None:
    world = World()
    for _ in range(130):
        world.key()
        world.kept.master_secret()
        world.now_s += 1
    assert (world.reads, world.master_reads) == (3, 3)


def test_a_new_key_takes_effect_within_a_minute() -> None:
    world = World()
    before = world.key()
    world.entries["gw"]["api_key"] = "sk-another-0123456789"
    world.now_s += 59.9
    assert world.key() == before
    world.now_s += 0.1
    assert world.key() == "sk-another-0123456789"


def test_a_provider_that_is_removed_is_unknown_within_a_minute() -> None:
    world = World()
    world.key()
    del world.entries["gw"]
    world.now_s += 60
    with pytest.raises(NotFound, match="no provider gw"):
        world.key()


def test_a_new_provider_is_known_at_once() -> None:
    world = World()
    world.key()
    world.entries["new"] = ENTRY | {"api_key": "sk-new-0123456789"}
    assert world.key("new") == "sk-new-0123456789"
    assert world.reads == 2


def test_an_entry_that_is_mended_is_good_at_once() -> None:
    world = World(entries={"gw": ENTRY | {"base_url": "no URL"}})
    with pytest.raises(InvalidInput, match="base_url"):
        world.key()
    world.entries["gw"] = ENTRY
    assert world.key() == ENTRY["api_key"]


def test_an_unknown_name_reads_once_a_call() -> None:
    world = World()
    for reads in (1, 2, 3):
        with pytest.raises(NotFound):
            world.key("other")
        assert world.reads == reads


def test_what_is_forgotten_is_read_again_when_it_is_asked_for() -> None:
    world = World()
    world.key()
    world.kept.forget_providers()
    assert world.reads == 1
    world.key()
    assert (world.reads, world.master_reads) == (2, 0)


def test_while_they_cannot_be_read_old_ones_count() -> None:
    world = World()
    before = (world.key(), world.kept.master_secret())
    world.fails, world.now_s = True, world.now_s + 61
    assert (world.key(), world.kept.master_secret()) == before
    assert len(world.told) == 2


def test_what_was_never_read_raises_the_fault() -> None:
    world = World(fails=True)
    for ask in (world.key, world.kept.master_secret):
        with pytest.raises(type(fault())):
            ask()
    world.fails = False
    assert world.key() == ENTRY["api_key"]

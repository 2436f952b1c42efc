"""Scenario files: what the sandbox answers, to whom, and when.

A scenario is TOML with four lists of rules. Of each list the first rule whose pattern matches is taken;
patterns are those of `fnmatch` (``*``, ``?``, ``[...]``), case counts.

``[[tasks]]``       by ``kind`` and ``task_id``: the answers to a query of one task
``[[query_many]]``  by ``kind``: the answers to a query of many tasks, instead of the true list
``[[assets]]``      by ``path`` (what follows ``/assets/``): what the asset host does first
``[[receivers]]``   by ``name``: what the webhook receiver does first

A rule's ``answers`` are given in order. Each holds until ``until_s`` seconds have gone by or until it was
given ``times`` times, whichever is first; the last answer of a task holds for ever. A task's seconds count
from the moment it was first asked about (or made through the control API), those of the other rules from the
first request that meets the rule.
"""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError, field_validator

from tunehook.errors import InvalidInput
from tunehook.validation import first_problem
from tunehook_local.sandbox.answers import Answer, Strict, TaskAnswer, check_order
from tunehook_local.sandbox.model import Kind, Song

DEMO_SCENARIO = Path(__file__).with_name("scenarios") / "demo.toml"
KINDS_SCENARIO = DEMO_SCENARIO.with_name("kinds.toml")
"""What gateways and hosts really do, a task a kind."""


class TaskRule(Strict):
    """How the tasks whose id matches behave.

    `video` gives the clips of suno an mp4. `lyrics` makes a suno task one that writes a text: instead of clips it has
    the song's title and, as its text, the prompt. `signed` puts a signature into the links, with percent-encoded
    slashes, and the asset host refuses any other spelling of them. `assets_url` is where the links of the clips lead,
    without a slash at the end; by default to the sandbox's own asset host.
    """

    kind: Kind | None = None
    task_id: str = "*"
    song: Song = Song()
    video: bool = False
    lyrics: bool = False
    signed: bool = False
    assets_url: Annotated[str, Field(pattern=r"^https?://\S*[^\s/]$")] | None = None
    answers: Annotated[tuple[TaskAnswer, ...], Field(min_length=1)]

    @field_validator("answers")
    @classmethod
    def _in_order(cls, answers: tuple[TaskAnswer, ...]) -> tuple[TaskAnswer, ...]:
        check_order(answers, last_holds=True)
        return answers


class _PassingRule(Strict):
    answers: Annotated[tuple[Answer, ...], Field(min_length=1)]

    @field_validator("answers")
    @classmethod
    def _in_order(cls, answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
        check_order(answers, last_holds=False)
        return answers


class QueryManyRule(_PassingRule):
    """What a query of many tasks gets instead of, or around, the true list."""

    kind: Kind


class AssetRule(_PassingRule):
    """What the asset host does before it serves a file, or while it does; counted for each URL by itself."""

    path: str = "*"


class ReceiverRule(_PassingRule):
    """What the webhook receiver of a name does before it takes to answering 204."""

    name: str = "*"


class Scenario(Strict):
    """Everything that a scenario file says. A task that no rule knows is unknown to its provider."""

    tasks: tuple[TaskRule, ...] = ()
    query_many: tuple[QueryManyRule, ...] = ()
    assets: tuple[AssetRule, ...] = ()
    receivers: tuple[ReceiverRule, ...] = ()

    def task_rule(self, kind: Kind, task_id: str) -> TaskRule | None:
        """Return the rule of a task."""
        return next(
            (rule for rule in self.tasks if rule.kind in (None, kind) and fnmatchcase(task_id, rule.task_id)),
            None,
        )

    def query_many_rule(self, kind: Kind) -> QueryManyRule | None:
        """Return the rule of a provider's query of many tasks."""
        return next((rule for rule in self.query_many if rule.kind is kind), None)

    def asset_rule(self, path: str) -> AssetRule | None:
        """Return the rule of an asset; `path` is what follows ``/assets/``."""
        return next((rule for rule in self.assets if fnmatchcase(path, rule.path)), None)

    def receiver_rule(self, name: str) -> ReceiverRule | None:
        """Return the rule of a receiver."""
        return next((rule for rule in self.receivers if fnmatchcase(name, rule.name)), None)


Model = TypeVar("Model", bound=Strict)


def parse(model: type[Model], document: object, *, folder: Path | None = None) -> Model:
    """Check a document against a model of this package.

    Parameters
    ----------
    model : type of Strict
        What the document should be: a `Scenario`, a `TaskRule`.
    document : object
        The document as plain values, as TOML or JSON give them.
    folder : Path, optional
        Where the files of ``body_file`` are; without it none can be named.

    Raises
    ------
    InvalidInput
        Naming the first field at fault (``tasks.0.answers.1.until_s``).
    """
    try:
        return model.model_validate(document, context={"folder": folder})
    except ValidationError as error:
        raise first_problem(error, "document") from None


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file.

    Raises
    ------
    InvalidInput
        If the file cannot be read, is not TOML, or says something that the sandbox does not understand; the
        error names the field.
    """
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput("scenario", f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("scenario", f"{path} is not TOML: {error}") from None
    return parse(Scenario, document, folder=path.parent)

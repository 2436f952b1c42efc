"""Scenario files: what the sandbox answers, to whom, and when.

A scenario is TOML with five lists of rules. Of each list the first rule whose pattern matches is taken;
patterns are those of `fnmatch` (``*``, ``?``, ``[...]``), case counts.

``[[tasks]]``       by ``kind`` and ``task_id``: the answers to a query of one task
``[[query_many]]``  by ``kind``: the answers to a query of many tasks, instead of the true list
``[[submissions]]`` by ``kind``: the answers to submissions, instead of the usual ones
``[[assets]]``      by ``path`` (what follows ``/assets/``): what the asset host does first
``[[receivers]]``   by ``name``: what the webhook receiver does first

A rule's ``answers`` are given in order. Each holds until ``until_s`` seconds have gone by or until it was
given ``times`` times, whichever is first; the last answer of a task holds for ever. A task's seconds count
from the moment it was first asked about (or made through the control API), those of the other rules from the
first request that meets the rule.
"""

from __future__ import annotations

import itertools
import tomllib
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from tunehook.errors import InvalidInput
from tunehook.validation import first_problem
from tunehook_local.sandbox.callback_forms import CallbackForm
from tunehook_local.sandbox.model import Kind, Song
from tunehook_local.sandbox.scripted_answers import ScriptedAnswer, Seconds, Strict, TaskAnswer

DEMO_SCENARIO = Path(__file__).with_name("scenarios") / "demo.toml"
KINDS_SCENARIO = DEMO_SCENARIO.with_name("kinds.toml")
"""What gateways and hosts really do, a task a kind."""

A = TypeVar("A", bound=ScriptedAnswer)


def _in_order(answers: tuple[A, ...], *, last_holds: bool) -> tuple[A, ...]:
    """Hold a sequence to its rules: each answer gives way to the next, and their moments grow."""
    if last_holds and answers[-1].is_bounded:
        raise ValueError("the last answer holds for ever: it takes neither until_s nor times")
    if not all(answer.is_bounded for answer in answers[:-1]):
        raise ValueError("each answer but the last needs until_s or times")
    bounds = [answer.until_s for answer in answers if answer.until_s is not None]
    for earlier, later in itertools.pairwise(bounds):
        if not (earlier[0] < later[0] and earlier[1] < later[1]):
            raise ValueError("until_s must grow from answer to answer")
    return answers


class CallbackRule(Strict):
    """How the callbacks of a submitted task are sent, if its submission names a URL.

    `form` is whose they are, by default that of the field that named the URL (see `callback_forms`). `secret` signs
    them where the form has a signature: text, or ``whsec_`` and base64 for ``replicate``. Each is sent `times` times,
    after `delay_s`; `lost` ones are never sent.
    """

    form: CallbackForm | None = None
    secret: str = ""
    times: Annotated[int, Field(ge=1, le=100)] = 1
    delay_s: Seconds = 0
    lost: bool = False


class TaskRule(Strict):
    """How the tasks whose id matches behave.

    `video` gives the clips of suno an mp4. A suno task of `lyrics` has the song's title and prompt as a text instead of
    clips. `signed` puts a signature with percent-encoded slashes into the links, and the asset host refuses any other
    spelling. `assets_url` (no slash at the end) is where the links lead, by default to the sandbox's own asset host.
    """

    kind: Kind | None = None
    task_id: str = "*"
    song: Song = Song()
    video: bool = False
    lyrics: bool = False
    signed: bool = False
    assets_url: Annotated[str, Field(pattern=r"^https?://\S*[^\s/]$")] | None = None
    callbacks: CallbackRule = CallbackRule()
    answers: Annotated[
        tuple[TaskAnswer, ...], Field(min_length=1), AfterValidator(partial(_in_order, last_holds=True))
    ]


class FirstRule(Strict):
    """What is answered before the usual answer, or around it."""

    answers: Annotated[
        tuple[ScriptedAnswer, ...], Field(min_length=1), AfterValidator(partial(_in_order, last_holds=False))
    ]


FirstRules = Literal["query_many", "submissions", "assets", "receivers"]
_MATCHED: Final[dict[FirstRules, str]] = {
    "query_many": "kind",
    "submissions": "kind",
    "assets": "path",
    "receivers": "name",
}
"""The field of a list's rules that is matched."""


class QueryManyRule(FirstRule):
    kind: Kind


class SubmissionRule(FirstRule):
    """An answer with a status takes no task; any other fault comes after the task was taken."""

    kind: Kind


class AssetRule(FirstRule):
    path: str = "*"


class ReceiverRule(FirstRule):
    name: str = "*"


class Scenario(Strict):
    """Everything that a scenario file says. A task that no rule knows is unknown to its provider."""

    tasks: tuple[TaskRule, ...] = ()
    query_many: tuple[QueryManyRule, ...] = ()
    submissions: tuple[SubmissionRule, ...] = ()
    assets: tuple[AssetRule, ...] = ()
    receivers: tuple[ReceiverRule, ...] = ()

    def task_rule(self, kind: Kind, task_id: str) -> TaskRule | None:
        rules = (rule for rule in self.tasks if rule.kind in (None, kind))
        return next((rule for rule in rules if fnmatchcase(task_id, rule.task_id)), None)

    def first_rule(self, rules: FirstRules, subject: str) -> FirstRule | None:
        """Return the rule of a kind, of an asset (what follows ``/assets/``) or of a receiver."""
        found: tuple[FirstRule, ...] = getattr(self, rules)
        return next((rule for rule in found if fnmatchcase(subject, getattr(rule, _MATCHED[rules]))), None)


Model = TypeVar("Model", bound=Strict)


def parse(model: type[Model], document: object, *, folder: Path | None = None) -> Model:
    """Check plain values, as TOML or JSON give them, against a model of this package.

    ``body_file`` needs a `folder`. Raises `InvalidInput` for the first field at fault (``tasks.0.answers.1.until_s``).
    """
    try:
        return model.model_validate(document, context={"folder": folder})
    except ValidationError as error:
        raise first_problem(error, "document") from None


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file; raise `InvalidInput`, which names the field, if it is none."""
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput("scenario", f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("scenario", f"{path} is not TOML: {error}") from None
    return parse(Scenario, document, folder=path.parent)

"""Takes in a task that its provider called back about and that nobody has put into the table.

The provider is asked first: a callback may be forged, and its answer alone counts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from aws_lambda_powertools import Logger

from poller.metrics import Metrics
from poller.registry import ProviderRegistry
from tunehook.aws.callback_hints import TAKE_IN_KEPT_MS, CallbackHintsTable, Hint
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.tasks import TasksTable
from tunehook.providers.outcomes import (
    Completed,
    CompletedWithoutResults,
    Failed,
    NotFound,
    Outcome,
    Pending,
    SeemsFailed,
)

logger = Logger(child=True)

ASK_AGAIN_MS: Final = 60_000
"""How long after a question about a task that is not in the table the next one may be asked."""

UNCONFIGURED_MS: Final = 600_000
"""After how long it is looked whether the provider of a task is configured by now: until then, nobody stays awake."""

QUESTIONS_A_SECOND: Final = 5
"""How many such questions a pass begins a second: forged callbacks must not use up what a provider lets us ask."""


@dataclass(slots=True)
class TakeIn:
    """Asks about the tasks of hints that are not in the Tasks table, and puts those that their providers confirm."""

    hints: CallbackHintsTable
    tasks: TasksTable
    providers: ProviderRegistry
    metrics: Metrics
    clock: Callable[[], int]
    _asked_at_ms: deque[int] = field(default_factory=lambda: deque(maxlen=QUESTIONS_A_SECOND))

    async def ask(self, hint: Hint) -> bool:
        """Ask about the task of a hint; return whether the hint has done its work, be the task taken in or unknown.

        The question is claimed first. So there is one a minute and task in all, whoever asks and whatever dies; without
        an answer, the next comes a minute later, for a day; where its provider is not configured, ten minutes later.
        """
        now_ms = self.clock()
        provider = self.providers.get(hint.key.provider)
        if provider is None and self.providers.read_at_ms < hint.hinted_at_ms:
            return False  # it was configured when it called: the secret is read again soon
        if now_ms - hint.hinted_at_ms >= TAKE_IN_KEPT_MS:
            return True
        if not self._may_ask(now_ms):
            return False
        if provider is None:
            await self._wait_for_provider(hint, now_ms)
            return False
        try:
            claimed = await asyncio.to_thread(self.hints.claim_take_in, hint, now_ms + ASK_AGAIN_MS)
            if claimed is None:
                return False
            polls = provider.poll_many((hint.key.task_id,))
            async with aclosing(polls) as outcomes:
                _, outcome = await anext(outcomes)
            self.metrics.polled(provider.name, outcome.name)
            is_confirmed = _is_confirmed(outcome)
            logger.info(
                "task_taken_in" if is_confirmed else "task_not_confirmed",
                task_id=hint.key.task_id,
                provider=provider.name,
                outcome=outcome.name,
            )
            if is_confirmed:
                await asyncio.to_thread(self.tasks.take_in, hint.key)
        except AWS_FAULTS as error:
            logger.warning("task_not_taken_in", task_id=hint.key.task_id, error=code_of(error))
            return False
        return is_confirmed or isinstance(outcome, NotFound)

    async def _wait_for_provider(self, hint: Hint, now_ms: int) -> None:
        """Let the hint of a task wait whose provider is not configured, as a task in the table would."""
        name, task_id = hint.key.provider, hint.key.task_id
        try:
            claimed = await asyncio.to_thread(self.hints.claim_take_in, hint, now_ms + UNCONFIGURED_MS)
        except AWS_FAULTS as error:
            logger.warning("task_not_taken_in", task_id=task_id, error=code_of(error))
            return
        if claimed is not None:
            logger.warning(
                "task_not_taken_in", task_id=task_id, provider=name, error="provider not configured"
            )

    def _may_ask(self, now_ms: int) -> bool:
        """Count one question, unless `QUESTIONS_A_SECOND` were asked within the last second."""
        if len(self._asked_at_ms) == QUESTIONS_A_SECOND and now_ms - self._asked_at_ms[0] < 1_000:
            return False
        self._asked_at_ms.append(now_ms)
        return True


def _is_confirmed(outcome: Outcome) -> bool:
    """Return whether the provider has answered about the task in words that are known: it exists."""
    if isinstance(outcome, Pending):
        return outcome.known
    return isinstance(outcome, Completed | CompletedWithoutResults | Failed | SeemsFailed)

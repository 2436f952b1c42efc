"""The start of a poller for a shard that has got work, unless one runs there."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.leases import Leases
from tunehook.times import now_ms

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class Log(Protocol):
    """A logger of keys and values, as Powertools has it."""

    def info(self, msg: object, /, *, shard: int) -> None: ...

    def warning(self, msg: object, /, *, shard: int, error: str) -> None: ...


@dataclass(frozen=True, slots=True)
class PollerStarts:
    """Invokes the function `poller_function` for shards; `clock` returns milliseconds since 1970."""

    leases: Leases
    lambdas: LambdaClient
    poller_function: str
    log: Log
    clock: Callable[[], int] = now_ms

    def start(self, shard: int) -> None:
        """Start a poller for `shard` unless one runs or was started just now; the schedule mends a lost start."""
        starter, present_ms, is_begun = uuid.uuid4().hex, self.clock(), False
        try:
            if self.leases.is_live(shard, present_ms):
                return
            is_begun = self.leases.begin_start(shard, starter, present_ms)
            if not is_begun:
                return
            self.lambdas.invoke(
                FunctionName=self.poller_function,
                InvocationType="Event",
                Payload=json.dumps({"started_by": "intake", "shard": shard}).encode(),
            )
            self.log.info("poller_started", shard=shard)
        except AWS_FAULTS as error:
            # What the poller is to do is written already: to fail now would only have that done again, to no avail.
            self.log.warning("poller_not_started", shard=shard, error=code_of(error))
            if is_begun:
                self._undo(shard, starter)

    def _undo(self, shard: int, starter: str) -> None:
        try:
            self.leases.undo_start(shard, starter)
        except AWS_FAULTS as error:
            # The next one may start a poller after seconds, or the schedule does.
            self.log.warning("start_not_undone", shard=shard, error=code_of(error))

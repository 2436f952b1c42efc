"""Callbacks of providers: each leaves a hint for the poller, and is answered with 200 whatever it is.

Some providers count a task as failed whose callback is answered otherwise, and a status would tell a guesser something.
So a failure of ours is logged, and polling finds what the hint would have told.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cache
from typing import Any, Final
from urllib.parse import unquote

from aws_lambda_powertools import Logger

from tunehook.aws.callback_hints import CallbackHintsTable
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.leases import Leases
from tunehook.aws.poller_starts import PollerStarts
from tunehook.aws.secrets import read_secret
from tunehook.aws.tasks import TasksTable
from tunehook.callbacks import Callback, Place, find_task_ids, is_token, verified_ids
from tunehook.errors import TunehookError
from tunehook.ids import shard_of
from tunehook.operations.stack import Stack
from tunehook.providers.adapters import adapter_of
from tunehook.providers.config import ProviderConfig, read_providers
from tunehook.tasks import Status, TaskKey
from tunehook.times import now_ms

logger = Logger(child=True)

TAKE_IN_AFTER_MS: Final = 60_000
"""How long whoever submitted a task has to put it into the Tasks table, before it is taken in without that."""

SECRETS_KEPT_S: Final = 60.0
SECRETS_AGAIN_S: Final = 5.0
"""How long the secrets are not read again after that has failed, or for a URL that they do not know."""

LONGEST_S: Final = 5.0
"""How long the ids of one callback are noted: providers wait for some seconds."""

_CLIENT: Final[Mapping[str, Any]] = {
    "connect_timeout": 1,
    "read_timeout": 2,
    "retries": {"mode": "standard", "total_max_attempts": 2},
}


@dataclass(frozen=True, slots=True)
class Known:
    """What the two secrets say."""

    master_secret: str = field(repr=False)
    providers: Mapping[str, ProviderConfig]


@dataclass(slots=True)
class Secrets:
    """The two secrets, read by `read` at most once a minute, and every 5 s while that fails; old ones are used then.

    A provider, or the version of its URL, may be new: what does not know a URL is read again after 5 s, too. `clock`
    gives seconds.
    """

    read: Callable[[], Known]
    clock: Callable[[], float] = time.time
    _known: Known | None = None
    _read_at_s: float = 0.0
    _good_for_s: float = 0.0

    def get(self, knows_url: Callable[[Known], bool]) -> Known | None:
        """Return what is known; None if nothing ever was."""
        present_s = self.clock()
        knows = self._known is not None and knows_url(self._known)
        good_for_s = self._good_for_s if knows else SECRETS_AGAIN_S
        if not 0 <= present_s - self._read_at_s < good_for_s:
            self._read_at_s, self._good_for_s = present_s, SECRETS_AGAIN_S
            try:
                self._known = self.read()
                self._good_for_s = SECRETS_KEPT_S
            except (*AWS_FAULTS, TunehookError) as error:
                logger.error("secrets_not_read", error=code_of(error))
        return self._known


@dataclass(slots=True)
class CallbackReceiver:
    """Takes callbacks; `clock` returns milliseconds since 1970."""

    tasks: TasksTable
    hints: CallbackHintsTable
    pollers: PollerStarts
    secrets: Secrets
    _: KW_ONLY
    shard_count: int
    takes_in: bool
    clock: Callable[[], int] = now_ms

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take the callback in an event of an HTTP API (payload 2.0), and return the answer to it, always the same."""
        try:
            self._take(event)
        except (*AWS_FAULTS, TunehookError) as error:
            logger.error("callback_not_noted", error=code_of(error))
        return {
            "statusCode": 200,
            "headers": {"content-type": "application/json", "cache-control": "no-store"},
            "body": '{"status": "received"}',
        }

    def _take(self, event: Mapping[str, Any]) -> None:
        began_ms = self.clock()
        provider, token = _path_of(event)
        known = self.secrets.get(lambda known: _is_url(known, provider, token))
        config = None if known is None else known.providers.get(provider)
        if known is None or config is None:
            logger.info("callback_received", result="unknown provider" if known else "no secrets")
            return
        if not _is_url(known, provider, token):
            logger.info("callback_received", provider=config.name, result="wrong token")
            return
        callback = _callback_in(event)
        found = find_task_ids(callback, adapter_of(config).callback_ids)
        if config.callback_scheme is not None and config.callback_secret is not None:
            secret = config.callback_secret.get_secret_value()
            verified = verified_ids(callback, found, config.callback_scheme, secret, began_ms / 1000)
            found = {task_id: found[task_id] for task_id in verified}
            if not found:
                logger.info("callback_received", provider=config.name, result="not verified")
                return
        self._note(config.name, found, began_ms, is_verified=config.callback_scheme is not None)

    def _note(self, provider: str, found: Mapping[str, Place], began_ms: int, *, is_verified: bool) -> None:
        """Leave the hints that a callback with these ids asks for, and start the pollers that read them."""
        statuses = self.tasks.statuses([TaskKey(task_id, provider) for task_id in found])
        unknown = self._unknown(found, {key.task_id for key in statuses}) if self.takes_in else []
        waiting = [key for key, status in statuses.items() if status in (None, Status.PENDING)]
        shards, left = set(), 0
        for key in [*waiting, *(TaskKey(task_id, provider) for task_id in unknown)]:
            present_ms, shard = self.clock(), shard_of(key.task_id, self.shard_count)
            if present_ms - began_ms > LONGEST_S * 1000:
                left += 1
            elif key in statuses:
                self.hints.put(shard, key, present_ms)
                shards.add(shard)
            else:
                self.hints.put_unknown(shard, key, present_ms, present_ms + TAKE_IN_AFTER_MS)
        for shard in sorted(shards):
            self.pollers.start(shard)
        logger.info(
            "callback_received",
            provider=provider,
            result="noted" if found else "no task id",
            known=len(statuses),
            waiting=len(waiting),
            unknown=len(found) - len(statuses),
            left=left,
            verified=is_verified,
        )

    @staticmethod
    def _unknown(found: Mapping[str, Place], known: set[str]) -> list[str]:
        """Return the ids that are surely meant as tasks' and are none of the Tasks table.

        An ``id`` or a ``request_id`` beside one that is a known task's is something else's.
        """
        surest = min(found.values(), default=Place.TASK_ID)
        if known and surest is not Place.TASK_ID:
            return []
        return [task_id for task_id, place in found.items() if place is surest and task_id not in known]


def _is_url(known: Known, provider: str, token: str) -> bool:
    """Return whether a provider's callback URL ends in a token."""
    config = known.providers.get(provider)
    return config is not None and is_token(token, known.master_secret, config.name, config.callback_version)


def _path_of(event: Mapping[str, Any]) -> tuple[str, str]:
    """Return the provider and the token in an event's path; the gateway may have decoded them or not."""
    named = event.get("pathParameters")
    parts = named if isinstance(named, Mapping) else {}
    provider, token = parts.get("provider"), parts.get("token")
    return (
        unquote(provider) if isinstance(provider, str) else "",
        unquote(token) if isinstance(token, str) else "",
    )


def _callback_in(event: Mapping[str, Any]) -> Callback:
    body, headers, query = event.get("body"), event.get("headers"), event.get("rawQueryString")
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else b""
    if event.get("isBase64Encoded"):
        try:
            raw = base64.b64decode(raw)
        except binascii.Error:
            raw = b""
    named = headers.items() if isinstance(headers, Mapping) else ()
    return Callback(
        raw,
        {str(name).lower(): value for name, value in named if isinstance(value, str)},
        query if isinstance(query, str) else "",
    )


@cache
def receiver(stack: Callable[[], Stack]) -> CallbackReceiver:
    """Return the receiver of this execution environment."""
    return open_receiver(stack())


def open_receiver(stack: Stack) -> CallbackReceiver:
    """Make the receiver of the stack that the function is a part of; its clients give up within seconds."""
    dynamodb, secrets = (stack.client(each, **_CLIENT) for each in ("dynamodb", "secretsmanager"))

    def read() -> Known:
        master_secret = read_secret(secrets, stack.output("MasterSecret"))
        return Known(
            master_secret, read_providers(read_secret(secrets, stack.output("ProvidersSecret"))).usable
        )

    return CallbackReceiver(
        TasksTable(dynamodb, stack.output("TasksTable")),
        CallbackHintsTable(dynamodb, stack.output("CallbackHintsTable")),
        PollerStarts(
            Leases(dynamodb, stack.output("PollerLeasesTable")),
            stack.client("lambda", **_CLIENT),
            stack.output("PollerFunction"),
            logger,
        ),
        Secrets(read),
        shard_count=stack.shard_count,
        takes_in=stack.parameters.get("CallbacksTakeIn") != "off",
    )

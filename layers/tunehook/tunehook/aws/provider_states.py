"""The ProviderStates table: what passes of the poller, and the command, must know of a provider from earlier passes.

One small item a provider, written when something has changed. Its loss costs a few questions, and whether a key that is
refused was accepted before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from tunehook.aws.stream_marks import MARK
from tunehook.aws.table import Table
from tunehook.times import LATEST_MS
from tunehook.validation import is_whole

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TEXT_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refusal of the key that no good answer has followed yet.

    Attributes
    ----------
    reason : str
        ``key``, ``credit`` or ``access``: see `tunehook.providers.Unauthorised`.
    words : str
        What is refused in plain words, and the provider's own, never with the key in them.
    since_ms : int
        When it was refused first, in milliseconds since 1970.
    key : str
        The digest of the key, as `tunehook.providers.Provider.key_digest` makes it.
    """

    reason: str
    words: str
    since_ms: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A time in which the provider is not asked.

    Attributes
    ----------
    until_ms : int
        In milliseconds since 1970.
    reason : str
        The name of the outcome that it began for.
    kind, words : str
        What that outcome said, without details and with them.
    key : str
        The digest of the key that was used: another key begins without a pause.
    """

    until_ms: int
    reason: str
    kind: str
    words: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderState:
    """What is known of a provider.

    Attributes
    ----------
    provider : str
        Its name in this deployment.
    accepted_key : str or None
        The digest of the key that it has accepted last.
    refusal : Refusal or None
    pause : Pause or None
        The latest pause, which may be over.
    refresh_every_ms : int or None
        The interval at which it refreshes its own database, where that is known.
    """

    provider: str
    accepted_key: str | None = None
    refusal: Refusal | None = None
    pause: Pause | None = None
    refresh_every_ms: int | None = None

    def is_no_longer_accepted(self, key: str) -> bool:
        """Return whether a key of this digest that is refused now was accepted before."""
        return self.accepted_key == key


class ProviderStates:
    """The states of all providers.

    Parameters
    ----------
    client : DynamoDBClient
        A low-level boto3 client.
    name : str
        The table's name.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._table = Table(client, name)

    def get(self, provider: str) -> ProviderState:
        """Return what is known of a provider; nothing where it has no item."""
        return self.get_many([provider])[provider]

    def get_many(self, providers: Collection[str]) -> dict[str, ProviderState]:
        """Return what is known of each of these providers.

        Raises
        ------
        Unavailable
            If DynamoDB left items unread.
        """
        found = {name: ProviderState(provider=name) for name in providers}
        for item in self._table.get_many([{"provider": name} for name in found], consistent=False):
            state = _state(item)
            found[state.provider] = state
        return found

    def all(self) -> dict[str, ProviderState]:
        """Return what is known, by the providers' names; it reads the whole table."""
        states = map(_state, self._table.scan(consistent=False))
        return {state.provider: state for state in states if state.provider != MARK}

    def save(self, before: ProviderState, after: ProviderState) -> None:
        """Write what differs between what was known and what is known now of one provider."""
        old, new = _attributes(before), _attributes(after)
        values = {name: value for name, value in new.items() if value is not None and value != old[name]}
        remove = [name for name, value in new.items() if value is None and old[name] is not None]
        if values or remove:
            self._table.update({"provider": after.provider}, set=values, remove=remove)

    def accept(self, provider: str, key: str) -> None:
        """Say that a provider has accepted a key: by an answer about a task, or by taking a task.

        Parameters
        ----------
        provider : str
        key : str
            The key's digest.
        """
        state = ProviderState(provider=provider)
        self.save(state, replace(state, accepted_key=key))


def _attributes(state: ProviderState) -> dict[str, Any]:
    return {
        "accepted_key": state.accepted_key,
        "refusal": state.refusal and asdict(state.refusal),
        "pause": state.pause and asdict(state.pause),
        "refresh_every_ms": state.refresh_every_ms,
    }


def _state(item: Mapping[str, Any]) -> ProviderState:
    """Return what an item says; an attribute that tunehook cannot have written says nothing."""
    refusal = _part(item.get("refusal"), ("reason", "words", "key"), "since_ms")
    pause = _part(item.get("pause"), ("reason", "kind", "words", "key"), "until_ms")
    refresh_every_ms = item.get("refresh_every_ms")
    return ProviderState(
        provider=item["provider"],
        accepted_key=item["accepted_key"] if isinstance(item.get("accepted_key"), str) else None,
        refusal=None if refusal is None else Refusal(**refusal),
        pause=None if pause is None else Pause(**pause),
        refresh_every_ms=refresh_every_ms if is_whole(refresh_every_ms, 1, LATEST_MS) else None,
    )


def _part(value: Any, texts: tuple[str, ...], moment: str) -> dict[str, Any] | None:
    if not isinstance(value, dict) or not is_whole(value.get(moment), 0, LATEST_MS):
        return None
    if not all(isinstance(value.get(name), str) and len(value[name]) <= _TEXT_MAX for name in texts):
        return None
    return {name: value[name] for name in (*texts, moment)}

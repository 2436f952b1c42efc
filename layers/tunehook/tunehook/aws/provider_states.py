"""The ProviderStates table: what a run of the poller, and the command, know of a provider from earlier runs.

One small item a provider, written when something has changed. Its loss costs a few polls, and the knowledge whether a
key that is refused now was accepted before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.conditions import Attr

from tunehook.aws.dead_letter_marks import DEAD_LETTERS
from tunehook.aws.stream_marks import MARK
from tunehook.aws.table import TableGateway
from tunehook.times import LATEST_MS
from tunehook.validation import is_whole

if TYPE_CHECKING:
    from boto3.dynamodb.conditions import ConditionBase

AGAIN_AFTER_MS: Final = 3_600_000
"""How long after an alert of a key, which was accepted since, the next one may be: some keys come and go."""

CALLBACKS_COME_AT: Final = 3
"""How many tasks in a row end by a callback until the provider's callbacks count as reliable."""

_TEXT_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refusal of the key since when no good answer came.

    `reason` is ``key``, ``credit`` or ``access``: see `tunehook.providers.outcomes.Unauthorised`. `words` is a message
    for people, never with the key in it. `key` is what `tunehook.providers.client.Provider.key_digest` makes.
    """

    reason: str
    words: str
    since_ms: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A time in which the provider is not polled.

    `reason` is the name of the outcome that it began for; `kind` and `words` are that outcome's message without details
    and with them. `key` is the digest of the key that was used: another key begins without a pause.
    """

    until_ms: int
    reason: str
    kind: str
    words: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A refusal of the key, as it is told once.

    `told_at_ms` is when that was, 0 until then; it `is_over` when a good answer has come.
    """

    key: str
    since_ms: int
    told_at_ms: int = 0
    is_over: bool = False

    def may_be_followed(self, key: str, now_ms: int) -> bool:
        """Return whether a refusal of the key is another one now: `AGAIN_AFTER_MS` after this one was told."""
        return key != self.key or (self.is_over and now_ms - self.told_at_ms >= AGAIN_AFTER_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderState:
    """What is known of a provider.

    `accepted_key` is the digest of the key that it has accepted last; the `pause` is the latest, which may be over;
    `refresh_every_ms` is the interval at which the provider refreshes its own database, where that is known.
    `ends_called_back` is how many of its last tasks ended by a callback in a row, up to `CALLBACKS_COME_AT`; None if
    the last did not. The `alert` is the latest; `ProviderStates.save` leaves it as it is.
    """

    provider: str
    accepted_key: str | None = None
    refusal: Refusal | None = None
    pause: Pause | None = None
    refresh_every_ms: int | None = None
    ends_called_back: int | None = None
    alert: Alert | None = None

    @property
    def callbacks_come(self) -> bool:
        """Whether the provider has called back about each of the last tasks that ended."""
        return self.ends_called_back == CALLBACKS_COME_AT

    def is_no_longer_accepted(self, key: str) -> bool:
        """Return whether a key of this digest that is refused now was accepted before."""
        return self.accepted_key == key


class ProviderStates(TableGateway):
    """The states of all providers."""

    def get(self, provider: str) -> ProviderState:
        """Return what is known of a provider; nothing where it has no item."""
        return self.get_many([provider])[provider]

    def get_many(self, providers: Collection[str]) -> dict[str, ProviderState]:
        """Return what is known of each of these providers; raise `Unavailable` if DynamoDB left items unread."""
        found = {name: ProviderState(provider=name) for name in providers}
        for item in self._table.get_many([{"provider": name} for name in found], consistent=False):
            state = _state(item)
            found[state.provider] = state
        return found

    def all(self) -> dict[str, ProviderState]:
        """Return what is known, by the providers' names; it reads the whole table."""
        states = map(_state, self._table.scan(consistent=False))
        return {state.provider: state for state in states if state.provider not in (MARK, DEAD_LETTERS)}

    def save(self, before: ProviderState, after: ProviderState) -> None:
        """Write what differs between what was known and what is known now of one provider."""
        old, new = asdict(before), asdict(after)
        key = {"provider": new.pop("provider")}
        del new["alert"]
        values = {name: value for name, value in new.items() if value is not None and value != old[name]}
        remove = [name for name, value in new.items() if value is None and old[name] is not None]
        if values or remove:
            self._table.update(key, set=values, remove=remove)

    def accept(self, provider: str, key: str) -> None:
        """Note that a provider has accepted the key of this digest: it answered about a task, or took a task."""
        state = ProviderState(provider=provider)
        self.save(state, replace(state, accepted_key=key))

    def begin_alert(self, provider: str, before: Alert | None, key: str, since_ms: int) -> Alert | None:
        """Begin the alert of a refused key, where the provider's is still the one `before`: None where it has none.

        Returns the alert that it has then, be it another caller's; None if it makes no sense.
        """
        write = self._table.update(
            {"provider": provider},
            set={
                "alert_key": key,
                "alert_since_ms": since_ms,
                "alert_told_at_ms": 0,
                "alert_is_over": False,
            },
            condition=Attr("alert_key").not_exists() if before is None else _is(before),
            read=True,
        )
        return _alert(write.found)

    def record_told(self, provider: str, alert: Alert, now_ms: int) -> bool:
        """Note that an alert is out; return False if there is another one by now."""
        return self._table.update(
            {"provider": provider}, set={"alert_told_at_ms": now_ms}, condition=_is(alert)
        ).done

    def end_alert(self, provider: str, alert: Alert) -> bool:
        """Note that the key of an alert was accepted; return False if there is another one by now."""
        return self._table.update(
            {"provider": provider}, set={"alert_is_over": True}, condition=_is(alert)
        ).done


def _state(item: Mapping[str, Any]) -> ProviderState:
    """Return what an item says; an attribute that tunehook cannot have written is ignored."""
    accepted_key, refresh_every_ms = item.get("accepted_key"), item.get("refresh_every_ms")
    called_back: Any = item.get("ends_called_back")
    refusal = _part(item.get("refusal"), ("reason", "words", "key"), "since_ms")
    pause = _part(item.get("pause"), ("reason", "kind", "words", "key"), "until_ms")
    return ProviderState(
        provider=item["provider"],
        accepted_key=accepted_key if isinstance(accepted_key, str) else None,
        refusal=None if refusal is None else Refusal(**refusal),
        pause=None if pause is None else Pause(**pause),
        refresh_every_ms=refresh_every_ms if is_whole(refresh_every_ms, 1, LATEST_MS) else None,
        ends_called_back=called_back if is_whole(called_back, 1, CALLBACKS_COME_AT) else None,
        alert=_alert(item),
    )


def _is(alert: Alert) -> ConditionBase:
    return Attr("alert_key").eq(alert.key) & Attr("alert_since_ms").eq(alert.since_ms)


def _alert(item: Mapping[str, Any]) -> Alert | None:
    key, since_ms = item.get("alert_key"), item.get("alert_since_ms")
    told_at_ms, is_over = item.get("alert_told_at_ms"), item.get("alert_is_over")
    if not isinstance(key, str) or not isinstance(is_over, bool):
        return None
    if not is_whole(since_ms, 0, LATEST_MS) or not is_whole(told_at_ms, 0, LATEST_MS):
        return None
    return Alert(key=key, since_ms=since_ms, told_at_ms=told_at_ms, is_over=is_over)


def _part(value: Any, texts: tuple[str, ...], moment: str) -> dict[str, Any] | None:
    if not isinstance(value, dict) or not is_whole(value.get(moment), 0, LATEST_MS):
        return None
    if not all(isinstance(value.get(name), str) and len(value[name]) <= _TEXT_MAX for name in texts):
        return None
    return {name: value[name] for name in (*texts, moment)}

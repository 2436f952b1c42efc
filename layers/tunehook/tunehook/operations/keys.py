"""Keys of the HTTP API: make, list and revoke them. A key itself is told once; what is kept cannot be used to call."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from tunehook.api_keys import PREFIX, ApiKey, KeyState, Scope, digest_of, key_text, make_key
from tunehook.errors import Conflict, InvalidInput, NotFound
from tunehook.operations.stack import Stack
from tunehook.times import now_ms

NAME_MAX: Final = 64

SHORTEST_LIFE_MS: Final = 60_000
LONGEST_LIFE_MS: Final = 3650 * 86_400_000


class CreatedKey(BaseModel, frozen=True, defer_build=True):
    """A new key: what is kept of it, and `text`, which its holder sends and nobody can be told again."""

    key: ApiKey
    text: str


def create_key(
    stack: Stack, name: str, scope: Scope = Scope.READ, *, expires_in_ms: int | None = None
) -> CreatedKey:
    """Make a key for an application; without `expires_in_ms` it is good until it is revoked.

    Raises `InvalidInput` for a `name` that is empty, long or no plain text, and for an `expires` below a minute or
    above ten years; `Conflict` if a key of this name is good still.

    >>> create_key(stack, "shop", Scope.WRITE).text.startswith("thk_")
    True
    """
    _check_name(name)
    if expires_in_ms is not None and not SHORTEST_LIFE_MS <= expires_in_ms <= LONGEST_LIFE_MS:
        raise InvalidInput("expires", "must be from a minute to ten years")
    present_ms = now_ms()
    for other in stack.api_keys.all():
        if other.name == name and other.state(present_ms) is KeyState.ACTIVE:
            raise Conflict("name", f"is that of the key {other.key_id}: revoke that, or choose another")
    key_id, secret = make_key()
    key = ApiKey(
        key_id,
        name,
        scope,
        digest_of(secret),
        created_at_ms=present_ms,
        expires_at_ms=None if expires_in_ms is None else present_ms + expires_in_ms,
    )
    if not stack.api_keys.create(key):
        raise Conflict("key_id", "was drawn twice: make the key again")
    return CreatedKey(key=key, text=key_text(key_id, secret))


def list_keys(stack: Stack) -> list[ApiKey]:
    """Return every key, also those that open nothing any more, the newest first.

    >>> list_keys(stack)
    []
    """
    return sorted(stack.api_keys.all(), key=lambda key: (key.created_at_ms, key.key_id), reverse=True)


def revoke_key(stack: Stack, key: str) -> ApiKey:
    """Revoke a key by its id, or by its name; nothing opens with it a minute later. Return it as it is now.

    Raises `NotFound` if there is none; `InvalidInput` for a key itself, which is not to be written anywhere.

    >>> revoke_key(stack, "shop")
    Traceback (most recent call last):
    tunehook.errors.NotFound: key: there is none of this id or name
    """
    if key.startswith(PREFIX):
        raise InvalidInput(
            "key", "is the key itself: name it by its id, which is between the two underscores"
        )
    present_ms = now_ms()
    named = [
        each for each in list_keys(stack) if each.name == key and each.state(present_ms) is KeyState.ACTIVE
    ]
    key_id = named[0].key_id if named else key
    if not key_id or (revoked := stack.api_keys.revoke(key_id, present_ms)) is None:
        raise NotFound("key", "there is none of this id or name")
    return revoked


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable() or name != name.strip():
        raise InvalidInput(
            "name", f"must be 1 to {NAME_MAX} printable characters, without spaces around them"
        )
    if name.startswith(PREFIX):
        raise InvalidInput("name", "looks like a key: give it the name of the application that has it")

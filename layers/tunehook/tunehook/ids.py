"""Digests: the same input gives the same identifier, so that work done twice carries one name."""

from __future__ import annotations

import hashlib


def digest(*parts: str) -> str:
    """Return 32 hexadecimal digits that stand for `parts`; ``("a", "bc")`` and ``("ab", "c")`` differ."""
    hasher = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        hasher.update(len(data).to_bytes(4, "big"))
        hasher.update(data)
    return hasher.hexdigest()[:32]


def shard_of(task_id: str, shard_count: int) -> int:
    """Return the shard, from 0 to `shard_count` - 1, whose poller watches `task_id`."""
    return int(digest(task_id), 16) % shard_count

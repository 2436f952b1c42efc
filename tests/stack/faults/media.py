"""The files that the asset host has: bytes that follow from a seed and a path, and are what their names say."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

SMALLEST_BYTES: Final = 10_000
LARGEST_BYTES: Final = 5_000_000
LARGEST_IMAGE_BYTES: Final = 400_000

_BEGINNINGS: Final = {
    "mp3": b"ID3\x04\x00\x00\x00\x00\x00\x00",
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "mp4": b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41",
}
_BLOCK_BYTES: Final = 1 << 20


class Media:
    """The files of a run.

    All of them are cut out of one block of random bytes, so that making one costs no more than copying it.

    Parameters
    ----------
    seed : int
        The run's.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        block = hashlib.shake_128(f"media {seed}".encode()).digest(_BLOCK_BYTES)
        self._pool = block * (LARGEST_BYTES // _BLOCK_BYTES + 2)
        self.sha256 = lru_cache(maxsize=None)(self._sha256)

    def size(self, path: str) -> int:
        """Return how many bytes the file at a path has: as often some 10 kB as some MB."""
        largest = LARGEST_IMAGE_BYTES if path.endswith(".jpeg") else LARGEST_BYTES
        share = int.from_bytes(self._digest(path)[:8], "big") / 2**64
        return int(SMALLEST_BYTES * (largest / SMALLEST_BYTES) ** share)

    def body(self, path: str, version: int = 0) -> bytes:
        """Return the bytes of the file at a path, of which there are other versions of the same length."""
        digest = self._digest(path)
        head = _BEGINNINGS[path.rpartition(".")[2]] + (
            self._digest(f"{path} {version}") if version else digest
        )
        start = int.from_bytes(digest[8:16], "big") % _BLOCK_BYTES
        return head + self._pool[start : start + self.size(path) - len(head)]

    def _sha256(self, path: str, size: int | None = None, version: int = 0) -> str:
        """Return the digest of the file at a path, or of its first `size` bytes, in hexadecimal."""
        return hashlib.sha256(memoryview(self.body(path, version))[:size]).hexdigest()

    def _digest(self, path: str) -> bytes:
        return hashlib.sha256(f"{self._seed} {path}".encode()).digest()

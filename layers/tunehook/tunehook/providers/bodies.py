"""The body of an answer, bounded before and after decompression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunehook.http.decompress import UnreadableCoding, content_encoding, decompressed

if TYPE_CHECKING:
    from tunehook.http.reply import Reply

MAX_BODY_BYTES = 2 * 1024 * 1024


class UnusableBodyError(ValueError):
    """The body is too large or cannot be decompressed; the message quotes nothing of it.

    Parameters
    ----------
    reason : str
        What is wrong with it.
    is_too_large : bool
        Whether it is longer than may be read.
    """

    def __init__(self, reason: str, *, is_too_large: bool = False) -> None:
        super().__init__(reason)
        self.is_too_large = is_too_large


def plain_body(reply: Reply) -> bytes:
    """Return an answer's body, decompressed.

    Raises
    ------
    UnusableBodyError
        If it exceeds 2 MiB raw or decompressed, or is compressed in a way that nothing here undoes, or is broken.
    """
    if reply.truncated:
        raise _too_large()
    if "content-encoding" not in reply.headers and len(reply.body) <= MAX_BODY_BYTES:
        return reply.body
    try:
        body = decompressed(reply.body, content_encoding(reply.headers), MAX_BODY_BYTES)
    except UnreadableCoding as error:
        raise UnusableBodyError(str(error)) from error
    if body is None:
        raise _too_large()
    return body


def _too_large() -> UnusableBodyError:
    return UnusableBodyError("the body exceeds 2 MiB", is_too_large=True)

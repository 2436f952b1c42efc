"""Response heads, repaired as curl and browsers read them before a strict parser sees them.

Repaired are: lines that end with a bare LF, white space before a colon, lines that are no header, folded lines, NUL
bytes, versions beyond 1.1, the same ``Content-Length`` twice, one beside chunked (chunked counts: RFC 9112, section
6.3), one that is no number, and a head that ends with the connection instead of a blank line. Where lengths contradict
each other, or the connection ended before a whole header, the status counts and the body is broken. The connection of a
repaired head must not be used again: where the next response begins is not certain any more (RFC 9112, section 11.1).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAX_LINE_BYTES: Final = 64 * 1024
MAX_LINES: Final = 500
MAX_HEAD_BYTES: Final = 256 * 1024

LINE_TOO_LONG: Final = f"a header line of the answer is longer than {MAX_LINE_BYTES // 1024} kB"
TOO_MANY_LINES: Final = f"the answer has more than {MAX_LINES} header lines"
HEAD_TOO_LARGE: Final = f"the headers of the answer are larger than {MAX_HEAD_BYTES // 1024} kB"
NO_HTTP: Final = "the answer is no valid HTTP"
CONTRADICTION: Final = "the Content-Length headers of the answer contradict each other"
CUT: Final = "the connection was closed in the middle of the headers"

_END: Final = re.compile(rb"\n\r?\n")
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"  # RFC 9110, section 5.6.2
_NAME: Final = re.compile(_TOKEN + rb"+")
_PLAIN: Final = rb"(?:(?!(?i:content-length|transfer-encoding))" + _TOKEN + rb"++:[^\r\n\0]*+\r\n)*+"
_FRAMING: Final = rb"(?i:content-length:[ \t]*+[0-9]{1,18}|transfer-encoding:[ \t]*+chunked)[ \t]*+\r\n"
_CLEAN: Final = re.compile(
    rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [^\r\n\0]*+)?\r\n" + _PLAIN + rb"(?:" + _FRAMING + _PLAIN + rb")?\r\n"
)
_STATUS: Final = re.compile(
    rb"(?:HTTP/1\.(?P<minor>[0-9])|ICY)[ \t]+(?P<code>[1-9][0-9]{2})(?P<reason>[ \t].*)?"
)
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_PREFIXES: Final = (b"HTTP/", b"ICY ")
_LONGEST_PREFIX: Final = 5


class UnreadableHead(ValueError):
    """A response head is too large, or the data is no HTTP response; the message quotes nothing of it."""


class Repaired(NamedTuple):
    """A head that a strict parser takes, whether it had to be changed, and why its body is broken if it is."""

    head: bytes
    is_changed: bool = False
    fault: str | None = None


def end_of_head(data: bytes, start: int = 0) -> int | None:
    """Return where the first blank line at or after `start` ends; None if there is none."""
    found = _END.search(data, start)
    return None if found is None else found.end()


def repaired(head: bytes) -> Repaired:
    """Return a head that a strict parser takes, or raise `UnreadableHead`; what is no HTTP comes back as it is."""
    if len(head) <= MAX_LINE_BYTES and head.count(b"\n") <= MAX_LINES and _CLEAN.fullmatch(head):
        return Repaired(head)
    lines = [line.removesuffix(b"\r") for line in head.rstrip(b"\r\n").split(b"\n")]
    if max(map(len, lines)) > MAX_LINE_BYTES:
        raise UnreadableHead(LINE_TOO_LONG)
    if len(lines) > MAX_LINES + 1:
        raise UnreadableHead(TOO_MANY_LINES)
    if len(head) > MAX_HEAD_BYTES:
        raise UnreadableHead(HEAD_TOO_LARGE)
    status = _status_of(lines[0])
    if status is None:
        return Repaired(head)
    version = b"1.0" if status["minor"] in (None, b"0") else b"1.1"
    start = b"HTTP/" + version + b" " + status["code"] + (status["reason"] or b"")
    framed, fault = _framed(_fields(lines[1:]))
    whole = b"\r\n".join([start, *framed, b"", b""])
    return Repaired(whole, whole != head, fault)


def repaired_cut(cut: bytes) -> Repaired | None:
    """Return the head that a connection ended in the middle of, with its blank line.

    None where not even the status line is whole. Where no header is whole either, more may have been to come, and the
    body is broken. Raise `UnreadableHead` if the head is too large.
    """
    whole = cut[: cut.rfind(b"\n") + 1]
    line = whole.partition(b"\n")[0].removesuffix(b"\r")
    if _status_of(line) is None:
        return None
    head = repaired(whole + b"\r\n")
    return head if whole.count(b"\n") > 1 else head._replace(fault=CUT)


def check_growing(head: bytes) -> None:
    """Raise `UnreadableHead` if a head that is not whole yet is already too large, or no HTTP."""
    if len(head) - head.rfind(b"\n") > MAX_LINE_BYTES + 2:
        raise UnreadableHead(LINE_TOO_LONG)
    if len(head) > MAX_HEAD_BYTES:
        raise UnreadableHead(HEAD_TOO_LARGE)
    begun = head[:_LONGEST_PREFIX]
    if not any(begun.startswith(prefix) or prefix.startswith(begun) for prefix in _PREFIXES):
        raise UnreadableHead(NO_HTTP)
    line, is_whole, _ = head.partition(b"\n")
    if is_whole and _status_of(line.removesuffix(b"\r")) is None:
        raise UnreadableHead(NO_HTTP)


def _status_of(line: bytes) -> re.Match[bytes] | None:
    return _STATUS.fullmatch(line.replace(b"\0", b" "))


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Return names and values; what is no header is left out, and folded lines are one (RFC 9112, section 5.2)."""
    fields: list[tuple[bytes, bytes]] = []
    is_kept = False
    for line in lines:
        text = line.replace(b"\0", b" ").replace(b"\r", b" ")
        if text[:1] in (b" ", b"\t"):
            if is_kept:
                name, value = fields[-1]
                fields[-1] = (name, value + b" " + text.strip(b" \t"))
            continue
        name, colon, value = text.partition(b":")
        name = name.rstrip(b" \t")
        is_kept = bool(colon) and _NAME.fullmatch(name) is not None
        if is_kept:
            fields.append((name, value.strip(b" \t")))
    return fields


def _framed(fields: list[tuple[bytes, bytes]]) -> tuple[list[bytes], str | None]:
    """Return header lines of which one at most says where the body ends, and why none can be believed."""
    framing = (b"transfer-encoding", b"content-length")
    lines = [name + b": " + value for name, value in fields if name.lower() not in framing]
    codings, lengths = (_members(fields, name) for name in framing)
    applied = [coding.lower() for coding in codings if coding.lower() != b"identity"]
    if applied:
        coding = b"chunked" if set(applied) == {b"chunked"} else b", ".join(applied)
        return [*lines, b"Transfer-Encoding: " + coding], None
    known = {int(length) for length in lengths if _LENGTH.fullmatch(length)}
    if len(known) > 1:
        return lines, CONTRADICTION
    return [*lines, *(b"Content-Length: %d" % length for length in known)], None


def _members(fields: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Return the members of a list header, however many lines it has."""
    given = b",".join(value for each, value in fields if each.lower() == name)
    return [value for part in given.split(b",") if (value := part.strip(b" \t"))]

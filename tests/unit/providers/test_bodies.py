"""Bodies of providers' answers: read as the big clients read them, whole, and within their bound."""

import functools
import gzip
import zlib
from collections.abc import Mapping

import brotli
import pytest
from multidict import CIMultiDict

from tunehook.http.reply import Reply
from tunehook.providers.bodies import UnusableBodyError, plain_body

# As documented, and not imported: a bound that moves is to be noticed.
MAX_BODY_BYTES = 2 * 1024 * 1024

gzipped = functools.partial(gzip.compress, mtime=0)
"""The same bytes each time: they name tests, and workers must agree on these."""

BODY = b'{"code": "success", "message": "", "data": {"task_id": "t", "status": "IN_PROGRESS"}}'


def reply(body: bytes, headers: Mapping[str, str] | None = None, *, truncated: bool = False) -> Reply:
    return Reply(200, headers or {}, body, truncated)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("utf-8", BODY),
        ("UTF8", BODY),
        ("none", BODY),
        ("binary", BODY),
        ("aws-chunked", BODY),
        ("identity, identity", BODY),
        ("gzip", gzipped(BODY)),
        ("gzip", gzipped(BODY[:9]) + gzipped(BODY[9:])),
        ("deflate", zlib.compress(BODY)),
        ("br", brotli.compress(BODY)),
        ("gzip, br", brotli.compress(gzipped(BODY))),
        ("gzip", BODY),
        ("deflate", BODY),
        ("br", BODY),
    ],
)
def test_a_body_is_read_whatever_its_coding_is_called(coding: str, body: bytes) -> None:
    assert plain_body(reply(body, {"content-encoding": coding})) == BODY


def test_codings_in_lines_of_their_own_count_together() -> None:
    headers = CIMultiDict([("content-encoding", "gzip"), ("content-encoding", "br")])
    assert plain_body(reply(brotli.compress(gzipped(BODY)), headers)) == BODY


@pytest.mark.parametrize("body", [gzipped(BODY)[:-9], gzipped(BODY) + gzipped(BODY)[:30]])
def test_a_body_that_is_cut_is_refused_and_not_called_large(body: bytes) -> None:
    with pytest.raises(UnusableBodyError, match="truncated") as caught:
        plain_body(reply(body, {"content-encoding": "gzip"}))
    assert not caught.value.is_too_large


@pytest.mark.parametrize(
    "large",
    [
        reply(BODY, truncated=True),
        reply(gzipped(bytes(MAX_BODY_BYTES + 1)), {"content-encoding": "gzip"}),
        reply(brotli.compress(bytes(MAX_BODY_BYTES + 1)), {"content-encoding": "br"}),
    ],
    ids=["raw", "gzip", "br"],
)
def test_a_body_beyond_2_mib_says_that_it_is_too_large(large: Reply) -> None:
    with pytest.raises(UnusableBodyError, match="exceeds 2 MiB") as caught:
        plain_body(large)
    assert caught.value.is_too_large


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "identity"}])
def test_a_body_of_just_2_mib_is_read_and_one_byte_more_is_not(headers: dict[str, str]) -> None:
    most = 2 * 1024 * 1024
    assert plain_body(reply(bytes(most), headers)) == bytes(most)
    with pytest.raises(UnusableBodyError) as caught:
        plain_body(reply(bytes(most + 1), headers))
    assert caught.value.is_too_large

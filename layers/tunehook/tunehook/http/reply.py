"""What a caller needs of HTTP: one request, one short answer. No HTTP library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """The final response to a request, with the beginning of its body as it came over the wire: never decompressed.

    `headers` are looked up by names in lower case; of a name that comes more than once they give the first value.
    `truncated` says whether the body went on. `fault` is how it ended badly, without a quote of it; only
    `HttpTransport.send_for_status` sets it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    fault: str | None = None


class Transport(Protocol):
    """Carries a request to where its URL says and nowhere else: no redirects, cookies, proxies of the environment.

    It knows no time limit; cancelling it stops the request.
    """

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_bytes: int
    ) -> Reply:
        """Send a request and read at most `max_bytes` of its answer's body; raise what the exchange failed by.

        `method` is in upper case. `url` is as `tunehook.http.urls.wire_url` makes them, and is sent as it is.
        `headers` come beside those that describe the message and the sender, and ``accept-encoding: identity``.
        """
        ...

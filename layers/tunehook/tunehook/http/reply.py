"""What a caller needs of HTTP: one request, one short answer. No HTTP library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """The final response to a request.

    Parameters
    ----------
    headers : mapping
        To be looked up by names in lower case; of a name that comes more than once the first value.
    body : bytes
        The beginning of its body, as it came over the wire: never decompressed.
    truncated : bool
        Whether the body went on.
    fault : str or None
        How the body ended badly, without a quote of it; set by `HttpTransport.send_for_status` alone.
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

        Parameters
        ----------
        method : str
            In upper case.
        url : str
            Encoded as `tunehook.http.urls.wire_url` does it; it goes over the wire as it is.
        headers : mapping of str to str
            Beside those that describe the message and the sender, and ``accept-encoding: identity``.
        """
        ...

"""What all senders have in common: an endpoint is made, an event is handed over, an endpoint is removed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol, runtime_checkable

import aiohttp

EVENT_TYPE: Final = "task.failed"
"""The type, or topic, of every event; tunehook's, as the others take any."""

REQUEST_S: Final = 30.0
_EXCERPT: Final = 200


class Refused(Exception):
    """A sender did not take what it was given, or could not be asked.

    Parameters
    ----------
    what : str
        The request, without its headers.
    status : int
        0 if there was no answer.
    """

    def __init__(self, what: str, status: int, why: str) -> None:
        super().__init__(f"{what}: {status or 'no answer'} {why}".rstrip())
        self.status = status


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as its sender knows it; `secret` signs its webhooks, None if the sender does not say."""

    name: str
    id: str
    secret: str | None = None


class Sender(Protocol):
    """A sender, by its public API alone. Each call raises `Refused`."""

    name: str
    settle_s: float
    """How long a new endpoint may take to be known by all of the sender."""

    async def add_endpoint(self, name: str, url: str) -> Endpoint:
        """Make an endpoint that gets what is sent to it, and nothing else."""
        ...

    async def send(self, endpoint: Endpoint, event_id: str, text: str) -> None:
        """Hand over an event whose body has the id and the text; return once it is accepted."""
        ...

    async def remove_endpoint(self, endpoint: Endpoint) -> None:
        """Remove an endpoint."""
        ...

    async def close(self) -> None:
        """Remove what is left of this run."""
        ...


@runtime_checkable
class Backlog(Protocol):
    """A sender that can be given events which it holds until it is told to send them."""

    async def hold(self, name: str, event_ids: Collection[str], text: str) -> None:
        """Hand events over, and return once nothing but the sending is left to do."""
        ...

    async def release(self, name: str, url: str) -> tuple[Endpoint, float]:
        """Make the endpoint and have everything sent to it; return it, and the second of `time.monotonic` it began."""
        ...


class JsonApi:
    """Calls an API that takes and answers JSON.

    Parameters
    ----------
    session : aiohttp.ClientSession
    url : str
        What the paths are put behind.
    headers : mapping
        Of each request; never in an error.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = headers

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the answer's JSON, None if it has none; raise `Refused` unless its status is 2xx."""
        what = f"{method} {path}"
        try:
            async with self._session.request(
                method,
                self._url + path,
                params=query,
                json=body,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=REQUEST_S),
                allow_redirects=False,
            ) as answer:
                text = await answer.text()
                if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                    raise Refused(what, answer.status, self._without_secrets(text)[:_EXCERPT])
                return await answer.json(content_type=None) if text else None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Refused(what, 0, type(error).__name__) from None
        except ValueError:
            raise Refused(what, 0, "answered something that is no JSON") from None

    def _without_secrets(self, text: str) -> str:
        for value in self._headers.values():
            text = text.replace(value.removeprefix("Bearer "), "...")
        return text


async def remove_all(sender: Sender, endpoints: Iterable[Endpoint]) -> None:
    """Remove endpoints, each even if another is refused; raise the first refusal at the end."""
    refusals = []
    for endpoint in list(endpoints):
        try:
            await sender.remove_endpoint(endpoint)
        except Refused as refused:
            refusals.append(refused)
    if refusals:
        raise refusals[0]


def bearer(key: str) -> dict[str, str]:
    """Return the header that all of these APIs know a caller by."""
    return {"Authorization": f"Bearer {key}"}

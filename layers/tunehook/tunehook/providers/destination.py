"""Where a provider is asked, and with which key: the URL and the headers of each request to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from tunehook.providers.adapter import Adapter, Request
    from tunehook.providers.config import ProviderConfig

_URL_PUNCTUATION: Final = "%!$&'()*+,/:;=@[]~"
_JSON: Final = {"content-type": "application/json"}


class Destination:
    """The base URL and the key of a provider, as they go into requests; `host` is the name that is connected to.

    A URL may hold the key, and so is in no text that anybody reads.
    """

    def __init__(self, config: ProviderConfig, adapter: Adapter) -> None:
        key = config.api_key.get_secret_value()
        self.host = urlsplit(config.base_url).hostname or ""
        self._base_url = quote(config.base_url, safe=_URL_PUNCTUATION)
        self._query = adapter.key_query(key)
        self._key_headers = adapter.key_headers(key)
        self._headers = {"accept": "application/json", **self._key_headers}
        self._headers_of_json = {**self._headers, **_JSON}

    def url(self, request: Request) -> str:
        """Return the URL of a request, with the key where that belongs into its query."""
        url = self._base_url + request.path
        return f"{url}{'&' if '?' in request.path else '?'}{self._query}" if self._query else url

    def headers(self, request: Request) -> Mapping[str, str]:
        """Return the headers of a request; none of its own takes the place of the key, or says what its body is."""
        if not request.headers:
            return self._headers if request.body is None else self._headers_of_json
        own = {name.lower(): value for name, value in request.headers.items()}
        return {**self._headers, **own, **self._key_headers, **({} if request.body is None else _JSON)}

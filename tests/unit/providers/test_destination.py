from __future__ import annotations

from collections.abc import Mapping

from tests.unit.providers.support import API_KEY, config

from tunehook.providers.adapter import Adapter, Request
from tunehook.providers.destination import Destination
from tunehook.providers.kinds import ADAPTERS

SUNO = ADAPTERS["suno"]


class InQuery(type(SUNO)):  # type: ignore[misc]
    def key_headers(self, _api_key: str) -> Mapping[str, str]:
        return {}

    def key_query(self, api_key: str) -> str:
        return f"key={api_key}"


def destination(adapter: Adapter = SUNO, base_url: str = "https://gw.example.com/de") -> Destination:
    return Destination(config(base_url=base_url), adapter)


def test_a_path_stands_below_the_base_url() -> None:
    assert (
        destination().url(Request("GET", "/suno/fetch/a%2Fb")) == "https://gw.example.com/de/suno/fetch/a%2Fb"
    )


def test_what_no_url_may_hold_is_encoded_in_a_base_url_alone() -> None:
    assert destination(base_url='https://gw.example.com/a"b').url(Request("GET", "/x")).endswith("/a%22b/x")


def test_a_key_of_the_query_follows_the_path_or_its_query() -> None:
    asked = destination(InQuery())
    assert asked.url(Request("GET", "/t/1")) == f"https://gw.example.com/de/t/1?key={API_KEY}"
    assert asked.url(Request("GET", "/t?id=1")) == f"https://gw.example.com/de/t?id=1&key={API_KEY}"
    assert asked.headers(Request("GET", "/t")) == {"accept": "application/json"}


def test_a_body_is_called_json() -> None:
    plain = {"accept": "application/json", "authorization": f"Bearer {API_KEY}"}
    assert destination().headers(Request("GET", "/t")) == plain
    assert destination().headers(Request("POST", "/t", {})) == plain | {"content-type": "application/json"}


def test_headers_of_a_request_replace_neither_the_key_nor_what_the_body_is_called() -> None:
    own = {
        "Authorization": "Bearer theirs",
        "Content-Type": "text/plain",
        "X-Version": "2",
        "Accept": "text/x",
    }
    assert destination().headers(Request("POST", "/t", {}, own)) == {
        "accept": "text/x",
        "authorization": f"Bearer {API_KEY}",
        "content-type": "application/json",
        "x-version": "2",
    }


def test_the_host_is_that_of_the_base_url() -> None:
    assert destination(base_url="http://gw.example.com:8080/x").host == "gw.example.com"

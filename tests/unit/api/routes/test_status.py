"""The routes about the whole."""

from tests.support.aws import Faulty, client, fault
from tests.unit.api.calling import Api

from api.openapi import PUBLISHED


def test_the_status_has_every_part(api: Api) -> None:
    told = api("GET", "/v1/status").json
    assert {name for name, part in told.items() if isinstance(part, dict) and "error" in part} == set()
    assert told["tasks"]["pending"] == 0
    assert told["providers"]["usable"] == {"suno": "suno"}


def test_a_part_that_cannot_be_read_says_why(api: Api) -> None:
    denied = fault("AccessDeniedException", "GetSecretValue")
    api.stack._clients["secretsmanager"] = Faulty(client("secretsmanager"), get_secret_value=[denied])
    told = api("GET", "/v1/status", query="since=2026-11-29T00:00:00Z").json
    assert "denies" in told["providers"]["error"]
    assert told["ended"]["since"] == "2026-11-29T00:00:00.000Z"


def test_a_moment_that_is_none_is_refused(api: Api) -> None:
    assert api("GET", "/v1/status", query="since=yesterday").json["field"] == "since"


def test_the_document_is_given_as_it_is_published(api: Api) -> None:
    api.scope = None
    assert api("GET", "/v1/openapi.json").text == PUBLISHED.read_text(encoding="utf-8")


def test_health_needs_no_key_and_no_stack(api: Api) -> None:
    api.scope = None
    api.stack = None  # type: ignore[assignment]
    assert api("GET", "/health").json == {"status": "ok"}

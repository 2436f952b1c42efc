"""Every route needs a scope, and a key of a smaller one is refused before anything else happens."""

from tests.unit.api.calling import Api

from api.resolver import resolver
from api.scopes import SCOPES
from tunehook.api_keys import Scope

VALUES = {"<provider>": "suno", "<task_id>": "t", "<subscription_id>": "s", "<delivery_id>": "d"}
OPEN = {("GET", "/health"), ("GET", "/v1/openapi.json")}


def path_of(template: str) -> str:
    for variable, value in VALUES.items():
        template = template.replace(variable, value)
    return template


def test_each_route_has_a_scope_and_each_scope_a_route() -> None:
    assert set(resolver().routes()) == set(SCOPES)


def test_nothing_is_open_but_the_health_and_the_document() -> None:
    assert {route for route, scope in SCOPES.items() if scope is None} == OPEN


def test_reading_is_enough_for_every_get_and_for_nothing_else() -> None:
    assert {route for route, scope in SCOPES.items() if scope is Scope.READ} == {
        route for route in SCOPES if route[0] == "GET"
    } - OPEN


def test_what_changes_a_subscription_or_shows_a_secret_is_for_admins() -> None:
    routes = resolver().routes()
    changing = {
        key
        for key, route in routes.items()
        if "subscription" in key[1] and key[0] != "GET" and not key[1].endswith("/recover")
    }
    assert {key for key, scope in SCOPES.items() if scope is Scope.ADMIN} == changing


def test_a_smaller_scope_is_refused_and_no_key_at_all(api: Api) -> None:
    for (method, template), needed in SCOPES.items():
        if needed is None:
            continue
        path = path_of(template)
        for scope in (None, "", "root", *(each for each in Scope if not each.allows(needed))):
            api.scope = scope
            refused = api(method, path, raw="[")
            assert refused.status == (403 if scope in tuple(Scope) else 401)
            assert refused.headers["content-type"] == "application/problem+json"
        api.scope = needed.value
        assert api(method, path, raw="[").status not in (401, 403)

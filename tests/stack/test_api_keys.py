"""Who comes in by the HTTP API of the deployed stack: anybody to what is open, to the rest who has a good key."""

from __future__ import annotations

import httpx
import pytest
from tests.stack.commanding import Command
from tests.stack.driving import DeployedStack

from tunehook.api_keys import key_text, make_key, parse_key
from tunehook.operations.stack import find_stack
from tunehook_local.embedded.logs import lines
from tunehook_local.embedded.state import Home


@pytest.fixture(scope="module")
def url(stack: DeployedStack) -> str:
    found = find_stack(lambda service, **_: stack.client(service), stack.environment.stack_name)
    assert found.api_url.startswith(stack.environment.endpoint)
    return found.api_url


def get(url: str, key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return httpx.get(url, headers=headers, timeout=60)


def test_a_key_opens_the_api_from_its_making_to_its_end(
    stack: DeployedStack, home: Home, url: str, unique: str
) -> None:
    assert get(f"{url}/health").status_code == 200
    assert get(f"{url}/v1/tasks").status_code == 401
    assert get(f"{url}/v1/tasks", "nothing").status_code == 403
    assert get(f"{url}/v1/tasks", key_text(*make_key())).status_code == 403

    tunehook = Command(stack)
    used, other = (tunehook("keys", "create", f"{unique}-{number}").strip() for number in (1, 2))
    status = get(f"{url}/v1/status", used)
    assert status.status_code == 200
    assert "error" not in set().union(*status.json().values()), "a part that the function's role may not read"
    for listed in ("tasks", "deliveries", "subscriptions"):
        assert listed in get(f"{url}/v1/{listed}", used).raise_for_status().json()

    refused = httpx.post(
        f"{url}/v1/tasks",
        json={"task_id": unique, "provider": "suno"},
        headers={"authorization": f"Bearer {used}"},
        timeout=60,
    )
    assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
    assert stack.task(unique, "suno") == {}

    # One that the gateway has not seen: it keeps what it was told for 30 seconds.
    tunehook("keys", "revoke", f"{unique}-2")
    assert get(f"{url}/v1/tasks", other).status_code == 403

    kept = {each["name"]: each for each in tunehook("keys", "list", "--json")}
    assert kept[f"{unique}-1"]["last_used_at"] is not None
    assert [kept[f"{unique}-2"][name] for name in ("state", "last_used_at")] == ["revoked", None]
    seen = home.log.read_text(errors="replace") + str(list(lines(home, stack.environment, None)))
    seen += str(list(stack.items("ApiKeysTable")))
    for key in (used, other):
        key_id, secret = parse_key(key) or ("", "")
        assert key_id in seen
        assert secret not in seen

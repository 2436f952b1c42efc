"""Who may use the console: the browser that was given the token, at this address, from this page."""

import re

import pytest
from tests.unit.cli.console.conftest import BASE, PORT, TOKEN, client_of

from tunehook.operations.stack import Stack
from tunehook_cli.console.safety import FORM_MAX_BYTES

PAGES = ["/", "/overview/timings", "/tasks", "/tasks/rows", "/task?task_id=task-1", "/deliveries"]
PAGES += ["/deliveries/rows", "/delivery?id=msg_1", "/subscriptions", "/subscriptions?state=failing"]
PAGES += ["/subscription?id=sub-1", "/subscription/health?id=sub-1", "/subscription/keys?id=sub-1"]
PAGES += [
    "/subscriptions/new",
    "/providers",
    "/providers?state=trouble",
    "/dead-letters",
    "/dead-letters/messages",
]


@pytest.mark.parametrize("token", [None, "", "another", TOKEN[:-1]])
def test_nothing_is_answered_without_the_token(found: Stack, token: str | None) -> None:
    client = client_of(found, token=token)
    for path in [*PAGES, "/static/console.css", "/media?key=results/suno/task-1/c/audio.mp3", "/tasks/live"]:
        answer = client.get(path)
        assert answer.status_code == 403, path
        assert "task-1" not in answer.text, path


def test_the_token_becomes_a_cookie_and_leaves_the_address(found: Stack) -> None:
    answer = client_of(found, token=None).get(f"/tasks?status=failed&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/tasks?status=failed")
    cookie = answer.headers["set-cookie"].lower()
    assert f"tunehook_console_{PORT}=" in cookie
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


@pytest.mark.parametrize("path", ["//evil.example/", "/%2F/evil.example"])
def test_the_redirect_with_the_token_leads_nowhere_else(found: Stack, path: str) -> None:
    answer = client_of(found, token=None).get(f"{BASE}{path}?token={TOKEN}")
    assert not answer.headers.get("location", "/x").startswith("//")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", f"127.0.0.1.evil.example:{PORT}", "localhost:1", ""]
)
def test_another_host_is_refused(found: Stack, host: str) -> None:
    assert client_of(found).get("/tasks", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:4582", "http://127.0.0.1:1"]
)
def test_a_change_from_another_page_is_refused(found: Stack, origin: str) -> None:
    answer = client_of(found).post("/subscription/disable?id=sub-1", headers={"origin": origin})
    assert answer.status_code == 403
    assert found.subscriptions.get("sub-1") == {"subscription_id": "sub-1", "url": "https://x.example/hook"}


def test_a_change_without_an_origin_is_refused_unless_the_browser_says_that_it_is_from_here(
    found: Stack,
) -> None:
    client = client_of(found)
    del client.headers["origin"]
    assert client.post("/subscription/disable?id=sub-1").status_code == 403
    own = client.post("/subscription/disable?id=sub-1", headers={"sec-fetch-site": "same-origin"})
    assert own.status_code == 303


def test_every_page_has_a_policy_without_inline_script_or_style(found: Stack) -> None:
    client = client_of(found)
    for path in PAGES:
        answer = client.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|<style|javascript:", answer.text), (
            path
        )


def test_with_read_only_nothing_can_be_changed_and_nothing_offers_it(found: Stack) -> None:
    client = client_of(found, read_only=True)
    from tunehook_cli.console.app import _ROUTES

    changes = [path for method, path, _ in _ROUTES if method == "POST"]
    assert len(changes) > 10
    assert {client.post(path).status_code for path in changes} == {403}
    for path in PAGES:
        assert 'method="post"' not in client.get(path).text, path


def test_a_body_that_no_form_has_is_refused_whether_it_says_its_length_or_not(found: Stack) -> None:
    client = client_of(found)
    known = client.post("/providers/check", content=b"name=" + b"x" * FORM_MAX_BYTES)
    assert (known.status_code, known.text) == (413, "a form has at most 64 kB")
    pieces = (b"name=" if number == 0 else b"x" * 1_024 for number in range(80))
    form = {"content-type": "application/x-www-form-urlencoded"}
    unknown = client.post("/providers/check", content=pieces, headers=form)
    assert unknown.status_code == 413
    assert client.post("/providers/check", content=b"", headers={"content-length": "-1"}).status_code == 413


def test_what_could_run_in_a_browser_is_a_download(found: Stack) -> None:
    bucket, key = found.output("ResultsBucket"), "results/suno/task-1/c/cover.svg"
    found.s3.put_object(Bucket=bucket, Key=key, Body=b"<svg onload='x()'/>", ContentType="image/svg+xml")
    answer = client_of(found).get("/media", params={"key": key})
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment"
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "kind", ["text/plain; charset=utf-8", "application/json", "application/pdf", "text/html"]
)
def test_a_file_is_saved_under_the_name_that_it_was_kept_with(found: Stack, kind: str) -> None:
    bucket, key = found.output("ResultsBucket"), "results/suno/task-1/c/file.x"
    said = "attachment; filename=\"Cat.x\"; filename*=UTF-8''Cat.x"
    found.s3.put_object(
        Bucket=bucket, Key=key, Body=b"<script>x()</script>", ContentType=kind, ContentDisposition=said
    )
    answer = client_of(found).get("/media", params={"key": key})
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == said
    found.s3.put_object(Bucket=bucket, Key=key, Body=b"x", ContentType=kind, ContentDisposition="inline")
    answer = client_of(found).get("/media", params={"key": key})
    assert answer.headers["content-disposition"] == "attachment"


def test_only_results_are_served(found: Stack) -> None:
    found.s3.put_object(Bucket=found.output("ResultsBucket"), Key="notices/x.json", Body=b"{}")
    assert client_of(found).get("/media?key=notices/x.json").status_code == 404

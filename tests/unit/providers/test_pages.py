from typing import Any

import pytest

from tunehook.providers.pages import object_in_front, page

AWS = {"x-amzn-errortype": "ForbiddenException"}


@pytest.mark.parametrize(
    ("status", "headers", "payload", "who"),
    [
        (403, {}, {"cloudflare_error": True}, "Cloudflare"),
        (
            403,
            {},
            {"ray_id": "1", "error_code": 1020, "title": "Access denied"},
            "Cloudflare (Access denied)",
        ),
        (403, {}, {"ray_id": "1"}, None),
        (403, {}, {"error_code": 1020}, None),
        (403, AWS, {"message": "Forbidden"}, "AWS"),
        (403, {}, {"message": "Forbidden"}, None),
        (404, AWS, {"message": "Forbidden"}, None),
        (403, AWS, {"message": "Forbidden", "code": 1}, None),
        (403, AWS, {"error": "Forbidden"}, None),
    ],
)
def test_an_object_of_something_in_front_of_the_gateway_is_told_from_its_own(
    status: int, headers: dict[str, str], payload: dict[str, Any], who: str | None
) -> None:
    found = object_in_front(status, headers, payload)
    assert (who is None) == (found is None)
    assert who is None or who in (found or "")


def test_a_very_long_title_is_cut() -> None:
    found = object_in_front(403, {}, {"cloudflare_error": True, "title": "t" * 5000})
    assert found is not None
    assert len(found) < 300


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, b"<html><title>Welcome</title></html>"), ({"content-type": "text/HTML"}, b"Welcome")],
)
def test_a_page_is_known_by_its_beginning_or_by_its_content_type(
    headers: dict[str, str], body: bytes
) -> None:
    assert "page" in (page(200, headers, body) or "")

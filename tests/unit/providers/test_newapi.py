from typing import Any

import pytest

from tunehook.providers.newapi import NewApiAdapter


@pytest.mark.parametrize(
    ("status", "payload", "has_worked"),
    [
        *[
            (status, {"code": "success"}, 200 <= status < 300)
            for status in (199, 200, 201, 299, 300, 404, 500)
        ],
        *[
            (200, {"code": code}, True)
            for code in ("success", "SUCCESS", 0, "0", "000", 1, True, 200, 200.0, "200")
        ],
        *[(200, {"code": code}, False) for code in ("error", 2, "500", [], False)],
        *[(200, {"success": success}, True) for success in (True, 1, "true")],
        *[(200, {"success": success}, False) for success in (False, "false", 0, 2, "yes")],
        (200, {"success": False, "code": "success"}, False),
        (200, {}, False),
    ],
)
def test_whether_a_query_worked_is_said_by_its_code_or_by_its_success(
    status: int, payload: dict[str, Any], has_worked: bool
) -> None:
    assert NewApiAdapter.worked(status, payload) is has_worked

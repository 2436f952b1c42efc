import pytest
from benchmarks.senders.cells import (
    ROWS,
    Cell,
    gone_cell,
    number,
    redirect_cell,
    retry_after_cell,
    signature_cell,
)
from benchmarks.senders.receiver import Kept

STANDARD = Kept({"webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": "v1,x"}, b"{}")


def test_no_two_rows_have_one_key() -> None:
    assert len({row.key for row in ROWS}) == len(ROWS)


def test_a_figure_that_there_is_not_leaves_the_cell_empty() -> None:
    assert number(0.0, "why") == Cell(0.0)
    assert number(None, "why") == Cell(None, "why")


@pytest.mark.parametrize(
    ("url", "attempts", "followed", "value"),
    [
        ("http://127.0.0.2:1", 1, 0, "not followed"),
        ("http://127.0.0.2:1", 1, 1, "followed"),
        ("http://127.0.0.2:1", 0, 0, None),
        (None, 1, 0, None),
    ],
)
def test_redirects(url: str | None, attempts: int, followed: int, value: str | None) -> None:
    assert redirect_cell(url, attempts, followed).value == value


@pytest.mark.parametrize(
    ("gap_s", "plain_gap_s", "value"),
    [
        (45.4, 5.0, "honoured: 45.4 s of 45 s"),
        (61.0, None, "honoured: 61.0 s of 45 s"),
        (13.0, 5.0, "not honoured: 13.0 s instead of 45 s"),
        (44.9, 5.0, "not honoured: 44.9 s instead of 45 s"),
        (None, 5.0, "no second attempt within 70 s"),
        (60.0, 60.0, None),
    ],
)
def test_retry_after(gap_s: float | None, plain_gap_s: float | None, value: str | None) -> None:
    assert retry_after_cell(45, gap_s, plain_gap_s, 70.0).value == value


@pytest.mark.parametrize(
    ("attempts", "later", "plain_gap_s", "value"),
    [
        (0, 0, 5.0, None),
        (2, 1, 5.0, "retried"),
        (1, 0, 5.0, "endpoint disabled"),
        (1, 1, 5.0, "given up; the endpoint is sent to"),
        (1, 1, None, None),
    ],
)
def test_gone(attempts: int, later: int, plain_gap_s: float | None, value: str | None) -> None:
    assert gone_cell(attempts, later, plain_gap_s).value == value


def test_a_signature_is_counted_by_what_the_library_says() -> None:
    cell = signature_cell(lambda _secret, _requests: [True, False, True], "whsec_x", [STANDARD] * 3)
    assert cell.value == "2 of 3"


@pytest.mark.parametrize(
    ("secret", "requests", "why"),
    [
        ("whsec_x", [], "nothing arrived"),
        (None, [STANDARD], "does not sign"),
        ("whsec_x", [Kept({"x-convoy-signature": "abc"}, b"{}")], "not those of Standard Webhooks"),
    ],
)
def test_a_signature_that_cannot_be_judged_leaves_the_cell_empty(
    secret: str | None, requests: list[Kept], why: str
) -> None:
    cell = signature_cell(lambda _secret, _requests: [True], secret, requests)
    assert cell.value is None
    assert why in cell.why


def test_a_library_that_is_not_there_leaves_the_cell_empty() -> None:
    cell = signature_cell(lambda _secret, _requests: None, "whsec_x", [STANDARD])
    assert cell == Cell(None, "the library is not on this machine")

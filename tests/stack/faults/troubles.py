"""What providers, asset hosts and receivers do wrong: each word, and the answers of the sandbox that play it.

Nothing here is an end that a provider's rules take for final (`docs/provider-contracts.md`), so that what must come of
a task stays known: a task is lost for two questions at most, and a link is refused with what is worth another try.
"""

from __future__ import annotations

from typing import Any, Final

from tests.stack.faults.dice import Dice

PROVIDER: Final = (
    "5xx",
    "timeout",
    "throttled",
    "html",
    "truncated",
    "drip",
    "reset",
    "lost",
    "out_of_order",
)
DIFFERS: Final = "differs"
"""The host has other bytes for each download, and says so by its ETag."""

ASSET: Final = ("refused", "cut", "length_too_large", "length_too_small", "no_length", DIFFERS, "headers")
RECEIVER: Final = ("5xx", "429", "reset", "redirect", "slow", "headers")
HANG: Final = "hang"
"""The receivers' sixth, which holds up a worker for 15 s: planned apart from the others, and rarely."""

QUERY_MANY: Final = ("5xx", "html", "truncated", "throttled", "reset", "drip")

TRIPWIRE: Final = "{tripwire}"
"""Stands in a header for the URL to which no request may go."""

HEADER_LINE_BYTES: Final = 60_000
HEADERS: Final = 400
"""How long a header is at most, and how many there are beside the usual ones, where they are absurd."""

_PAGE: Final = "<!DOCTYPE html><html><body><h1>Just a moment...</h1></body></html>"

Answers = list[dict[str, Any]]


def of_provider(word: str, phase: dict[str, Any], times: int, dice: Dice) -> Answers:
    """Return the answers that a provider gives on the way; `phase` says where the task stands meanwhile."""
    return [_of_provider(word, phase, dice) | {"times": 1} for _ in range(times)]


def _of_provider(word: str, phase: dict[str, Any], dice: Dice) -> dict[str, Any]:
    match word:
        case "5xx":
            body = dice.pick(("", "upstream connect error", '{"message": "try again"}'))
            return {"status": dice.pick((500, 502, 503, 504)), "body": body}
        case "timeout":
            return phase | {"hang": True}
        case "throttled":
            headers = {"retry-after": str(dice.whole(1, 3))} if dice.chance(0.8) else {}
            return {"status": 429, "headers": headers}
        case "html":
            return {
                "status": dice.pick((200, 502, 503)),
                "headers": {"content-type": "text/html"},
                "body": _PAGE,
            }
        case "truncated":
            cut = {"status": 200, "body": '{"code": "success", "message": "", "da'}
            return dice.pick((cut, phase | {"cut_after_bytes": dice.whole(0, 60)}))
        case "drip":
            in_time = {"drip_bytes": 100, "drip_every_s": 0.2}
            too_slow = {"drip_bytes": 4, "drip_every_s": 0.4}
            return phase | dice.pick((in_time, too_slow))
        case "reset":
            return phase | dice.pick(({"reset": True}, {"reset": True, "cut_after_bytes": dice.whole(1, 60)}))
        case "lost":
            return {"phase": "not_found"}
    raise ValueError(word)


def of_query_many(word: str, dice: Dice) -> dict[str, Any]:
    """Return an answer to a query of many tasks, around or instead of the true list."""
    match word:
        case "truncated":
            return {"cut_after_bytes": dice.whole(0, 100), "times": 1}
        case "reset":
            return {"reset": True, "times": 1}
        case "drip":
            return {"drip_bytes": 500, "drip_every_s": 0.1, "times": 1}
    return _of_provider(word, {}, dice) | {"times": 1}


def of_asset(word: str, size: int, times: int, dice: Dice) -> Answers:
    """Return what an asset host does before it serves a file of `size` bytes, or while it does."""
    match word:
        case "refused":
            return [_refusal(dice) | {"times": 1} for _ in range(times)]
        case "cut":
            return [_cut(size, dice) | {"times": 1} for _ in range(times)]
        case "length_too_large":
            return [{"length_off_by": dice.whole(1, 5000), "times": times}]
        case "length_too_small":
            return [{"length_off_by": -dice.whole(1, size // 2), "times": 1}]
        case "differs":
            return [_cut(size, dice) | {"times": 1}]
        case "headers":
            return [{"headers": _absurd_headers(dice), "times": times}]
        case "no_length":
            first = [{"chunked": True, "cut_after_bytes": dice.whole(1, size - 1), "times": 1}]
            return [*dice.pick(([], first)), {"chunked": True}]
    raise ValueError(word)


def _refusal(dice: Dice) -> dict[str, Any]:
    status = dice.pick((403, 404, 408, 425, 429, 500, 503))
    return {"status": status, "headers": {"retry-after": "1"} if status == 429 else {}}


def _cut(size: int, dice: Dice) -> dict[str, Any]:
    return {"cut_after_bytes": dice.whole(1, size - 1), "reset": dice.chance(0.5)}


def _absurd_headers(dice: Dice) -> dict[str, str]:
    """Return headers that nobody needs, and none of which may change what becomes of an answer."""
    return {
        "date": dice.pick(("yesterday", "", "Thu, 01 Jan 1970 00:00:00 GMT")),
        "age": "-1",
        "retry-after": dice.pick(("soon", "-5", "1e9", "")),
        "last-modified": "0",
        "content-disposition": "attachment; filename=\"../../x\"; filename*=UTF-8''%ff%fe",
        "link": "<>; rel=next, <",
        "set-cookie": "a=b; " * 100,
        "x-names": '\u00fc\u00e9 ; , " = \\',
        "x-line": "x" * dice.whole(1, HEADER_LINE_BYTES),
        **{f"x-{number}": "y" * dice.whole(0, 60) for number in range(dice.whole(1, HEADERS))},
    }


def of_receiver(word: str, longest_retry_after_s: int, dice: Dice) -> dict[str, Any]:
    """Return what a receiver does with one receipt of a delivery."""
    match word:
        case "5xx":
            answer: dict[str, Any] = {"status": dice.pick((500, 502, 503, 504)), "body": "out of order"}
        case "429":
            headers = {"retry-after": str(dice.whole(1, longest_retry_after_s))}
            answer = {"status": 429, "headers": headers}
        case "reset":
            answer = {"reset": True}
        case "redirect":
            headers = {"location": f"{TRIPWIRE}/redirected"}
            answer = {"status": dice.pick((301, 302, 303, 307, 308)), "headers": headers}
        case "slow":
            answer = {"delay_s": dice.number(3, 8)}
        case "hang":
            answer = {"hang": True}
        case "headers":
            answer = {"status": 200, "headers": _absurd_headers(dice), "body": "thank you"}
        case _:
            raise ValueError(word)
    return answer | {"times": 1}

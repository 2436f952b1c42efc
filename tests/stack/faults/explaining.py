"""Which kill or fault explains that a delivery was received twice, or that a message is a dead letter.

An attempt is made again where nothing tells of it: what happened to its worker, or to the call that was to record it,
in the moments after its answer, is the explanation. The record must lack it, or the second attempt was a mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from tests.stack.faults.books import DeadLetter, Receipt, Record, Tried
from tests.stack.faults.breaking import Done

ATTEMPT_MS: Final = 15_000
"""When an attempt ends, whatever the receiver does (docs/webhook-contract.md, "The request")."""

RECORDED_WITHIN_MS: Final = 15_000
"""How long the record of an attempt may take after its answer, with three tries of a call that is answered late."""

LATER_MS: Final = {"intake": 60_000, "poller": 30_000}
"""How long after a fault a message of the function may become a dead letter; intake is tried many times before."""

CLOCKS_MS: Final = 250
_LOST: Final = frozenset({"fail", "throttle", "drop", "unanswered", "delay"})


def matched(record: Record, receipts: Sequence[Receipt]) -> list[tuple[Tried | None, Receipt | None]]:
    """Pair the attempts that a record tells of with those that its receiver saw, each at most once.

    Parameters
    ----------
    record : Record
        A delivery.
    receipts : sequence of Receipt
        What its receiver got of it, oldest first.

    Returns
    -------
    list of tuple
        Attempt and receipt; None where one of the two has no other. An attempt that ended in an answer goes with a
        receipt that was answered so.
    """
    left = list(receipts)
    pairs: list[tuple[Tried | None, Receipt | None]] = []
    for tried in sorted(record.attempts, key=lambda each: (each.at_ms, each.duration_ms)):
        fitting = [receipt for receipt in left if _fits(tried, receipt)]
        receipt = min(fitting, key=partial(_distance, tried), default=None)
        if receipt is not None:
            left.remove(receipt)
        pairs.append((tried, receipt))
    return [*pairs, *((None, receipt) for receipt in left)]


def _fits(tried: Tried, receipt: Receipt) -> bool:
    if not tried.at_ms - CLOCKS_MS <= receipt.at_ms <= tried.at_ms + tried.duration_ms + CLOCKS_MS:
        return False
    return tried.status_code is None or receipt.status in (None, tried.status_code)


def _distance(tried: Tried, receipt: Receipt) -> tuple[bool, float]:
    """Return how ill a receipt goes with an attempt.

    One that was answered so goes best; with an attempt that failed, what had no whole answer, the last of them: what
    was sent again at once, over a fresh connection, is one attempt.
    """
    if tried.error is None:
        return receipt.status != tried.status_code, receipt.at_ms
    return receipt.is_accepted, -receipt.at_ms


def is_sent_again(record: Record, receipt: Receipt, again_ms: float) -> bool:
    """Return whether a request that had no answer came again within the same attempt, over a fresh connection.

    Parameters
    ----------
    record : Record
        The delivery.
    receipt : Receipt
        What its receiver got first.
    again_ms : float
        When it got the same delivery again, or infinity.
    """
    return receipt.status is None and any(
        tried.at_ms - CLOCKS_MS <= receipt.at_ms and again_ms <= tried.at_ms + tried.duration_ms + CLOCKS_MS
        for tried in record.attempts
    )


def why_not_recorded(receipt: Receipt, until_ms: float, done: Iterable[Done]) -> str | None:
    """Say what kept an attempt from being recorded.

    Parameters
    ----------
    receipt : Receipt
        What the receiver got.
    until_ms : float
        When it got the same delivery again, or infinity.
    done : iterable of Done
        What was broken.

    Returns
    -------
    str or None
        A few words, the same for the same sort of reason; None if nothing explains it.
    """
    last_ms = min(until_ms, (receipt.answered_at_ms or receipt.at_ms + ATTEMPT_MS) + RECORDED_WITHIN_MS)
    for each in done:
        is_then = receipt.at_ms - CLOCKS_MS <= each.at_ms <= last_ms + CLOCKS_MS
        match each.moment.act:
            case "kill" if each.moment.target == "webhooks" and is_then:
                return "kill of a webhooks worker"
            # While AWS is down no attempt is recorded that was begun before.
            case "restart" if _is_halted(each, receipt.at_ms, last_ms):
                return "restart of the embedded AWS"
            case "halt" if each.moment.target == "webhooks" and _is_halted(each, receipt.at_ms, last_ms):
                return "halt of a webhooks worker"
            case act if act in _LOST and _hits_record(each, receipt, last_ms):
                return f"{act} of the record's UpdateItem"
    return None


def is_halted_webhooks(done: Iterable[Done], from_ms: float, until_ms: float) -> bool:
    """Return whether a worker of the webhooks function was halted between two moments, if only in part."""
    return any(
        (each.moment.act, each.moment.target) == ("halt", "webhooks") and _is_halted(each, from_ms, until_ms)
        for each in done
    )


def is_held_up(receipt: Receipt, until_ms: float, done: Iterable[Done]) -> bool:
    """Return whether a halt of a worker may have lain between the begin of an attempt and its request."""
    last_ms = min(until_ms, (receipt.answered_at_ms or receipt.at_ms + ATTEMPT_MS) + RECORDED_WITHIN_MS)
    return is_halted_webhooks(done, receipt.at_ms - ATTEMPT_MS, last_ms)


def _is_halted(done: Done, from_ms: float, until_ms: float) -> bool:
    """Return whether a halt, or a restart, lies between two moments, if only in part."""
    resumed_ms = done.at_ms + done.moment.for_s * 1000
    return done.at_ms <= until_ms + CLOCKS_MS and resumed_ms >= from_ms - CLOCKS_MS


def _hits_record(done: Done, receipt: Receipt, last_ms: float) -> bool:
    return any(
        (call.service, call.operation) == ("dynamodb", "UpdateItem")
        and receipt.delivery_id in call.about
        and receipt.at_ms - CLOCKS_MS <= call.at_ms <= last_ms
        for call in done.calls
    )


def why_twice(earlier: Receipt, tried: Tried | None, later: Receipt, done: Iterable[Done]) -> str | None:
    """Say why a delivery that had been accepted came once more.

    Parameters
    ----------
    earlier, later : Receipt
        The two receipts, both accepted.
    tried : Tried or None
        The attempt that the record tells of the earlier one.
    done : iterable of Done
        What was broken.

    Returns
    -------
    str or None
        A few words; None if nothing explains it, or if the record says that the earlier one was delivered.
    """
    if tried is None:
        return why_not_recorded(earlier, later.at_ms, done)
    if (
        tried.error is not None
        and (earlier.answered_at_ms or earlier.at_ms) - tried.at_ms >= ATTEMPT_MS - 500
    ):
        return "answer slower than an attempt may take"
    if tried.error is not None and any(
        (each.moment.act, each.moment.target) == ("halt", "webhooks")
        and _is_halted(each, tried.at_ms, earlier.answered_at_ms or earlier.at_ms)
        for each in done
    ):
        # What was answered meanwhile is read when the attempt's time is over.
        return "halt of a webhooks worker"
    return None


def why_dead(letter: DeadLetter, done: Iterable[Done]) -> str | None:
    """Say what made a message a dead letter.

    Those of the fulfillment and the deliveries queue are never explained: their messages are tried so often that no
    fault of a run lasts long enough.
    """
    lasts_ms = LATER_MS.get(letter.function)
    if lasts_ms is None:
        return None
    for each in done:
        is_then = letter.at_ms - lasts_ms <= each.at_ms <= letter.at_ms
        if is_then and each.moment.act == "kill" and each.moment.target == letter.function:
            return f"kill of the {letter.function}"
        if (each.moment.act, each.moment.target) == ("halt", letter.function) and _is_halted(
            each, letter.at_ms - lasts_ms, letter.at_ms
        ):
            return f"halt of the {letter.function}"
        if is_then and each.moment.act == "restart":
            return "restart of the embedded AWS"
        if any(
            call.function == letter.function and letter.at_ms - lasts_ms <= call.at_ms <= letter.at_ms
            for call in each.calls
        ):
            return f"{each.moment.act} of calls of the {letter.function}"
    return None

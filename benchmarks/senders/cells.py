"""The rows of the table, and its cells: a figure, or nothing and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.senders.receiver import Kept
from benchmarks.senders.verifiers import Verify, standard_headers


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure or a word; `value` is None where it could not be filled, and `why` says for what reason."""

    value: float | str | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class RowName:
    """A row: the key in the results, the phase that fills it, what people read, and the unit, empty for words."""

    key: str
    phase: str
    label: str
    unit: str = ""


FAULTS: Final = {
    "hang": "hangs",
    "drip": "drips its body",
    "endless": "answers without end",
}
"""What one of ten endpoints does."""

CRASHES: Final = {"kill": "kill -9 of the sender", "restart": "a restart of its queue's store"}

ROWS: Final = (
    RowName("drained", "drain", "drain: events accepted", "events"),
    RowName("drain_rate", "drain", "drain: delivered, an instant receiver", "events/s"),
    RowName("drain_lost", "drain", "drain: accepted and lost", "events"),
    RowName("rate", "latency", "handed over, from here to the crashes", "events/s"),
    RowName("body", "latency", "body of a webhook, median", "bytes"),
    RowName("p50", "latency", "from accepted to arrival, p50", "ms"),
    RowName("p99", "latency", "from accepted to arrival, p99", "ms"),
    RowName("memory", "latency", "memory of the sender meanwhile, most", "MB"),
    *(
        row
        for fault, words in FAULTS.items()
        for row in (
            RowName(f"{fault}_p50", fault, f"one of ten endpoints {words}: the others' p50", "ms"),
            RowName(f"{fault}_p99", fault, f"one of ten endpoints {words}: the others' p99", "ms"),
            RowName(
                f"{fault}_arrived", fault, f"one of ten endpoints {words}: arrived at the others, of accepted"
            ),
            RowName(
                f"{fault}_memory", fault, f"one of ten endpoints {words}: memory of the sender, most", "MB"
            ),
        )
    ),
    *(
        row
        for crash, words in CRASHES.items()
        for row in (
            RowName(f"{crash}_accepted", crash, f"{words}: accepted", "events"),
            RowName(f"{crash}_lost", crash, f"{words}: accepted and lost", "events"),
            RowName(f"{crash}_repeated", crash, f"{words}: repeated", "events"),
        )
    ),
    RowName("redirect", "answers", "a redirect to a forbidden address"),
    RowName("plain_503", "answers", "503 without `Retry-After`: next attempt after", "s"),
    RowName("retry_after_503", "answers", "503 with `Retry-After`"),
    RowName("retry_after_429", "answers", "429 with `Retry-After`"),
    RowName("gone", "answers", "410"),
    RowName("signature_python", "latency", "signatures verified by the library for Python"),
    RowName("signature_node", "latency", "signatures verified by the library for Node"),
)


def number(value: float | None, why: str) -> Cell:
    """Return a cell of a figure that there may not be."""
    return Cell(None, why) if value is None else Cell(value)


def redirect_cell(forbidden_url: str | None, attempts: int, followed: int) -> Cell:
    """Say whether a sender followed a redirect to the forbidden address."""
    if forbidden_url is None:
        return Cell(None, "this machine has no second address on loopback")
    if not attempts:
        return Cell(None, "nothing was sent to the endpoint that redirects")
    return Cell("followed" if followed else "not followed")


def retry_after_cell(asked_s: float, gap_s: float | None, plain_gap_s: float | None, waited_s: float) -> Cell:
    """Say whether the second attempt came when the receiver had asked for it.

    Parameters
    ----------
    asked_s : float
        What ``Retry-After`` said.
    gap_s, plain_gap_s : float or None
        From the first attempt to the second, with that header and without; None if none came in `waited_s`.
    waited_s : float
    """
    if gap_s is None:
        return Cell(f"no second attempt within {waited_s:.0f} s")
    if gap_s < asked_s:
        return Cell(f"not honoured: {gap_s:.1f} s instead of {asked_s:g} s")
    if plain_gap_s is not None and plain_gap_s >= asked_s:
        return Cell(None, f"it waits {plain_gap_s:.0f} s anyway: ask for more by --retry-after")
    return Cell(f"honoured: {gap_s:.1f} s of {asked_s:g} s")


def gone_cell(attempts: int, attempts_later: int, plain_gap_s: float | None) -> Cell:
    """Say what a sender makes of a 410.

    Parameters
    ----------
    attempts : int
        Of the event that was answered 410.
    attempts_later : int
        Of another one that was accepted afterwards.
    plain_gap_s : float or None
        When a second attempt comes after a 503: if none came, none can be missed after a 410.
    """
    if not attempts:
        return Cell(None, "nothing was sent to the endpoint that is gone")
    if attempts > 1:
        return Cell("retried")
    if not attempts_later:
        return Cell("endpoint disabled")
    if plain_gap_s is None:
        return Cell(None, "no second attempt came after a 503 either, in the time that was waited")
    return Cell("given up; the endpoint is sent to")


def signature_cell(verify: Verify, secret: str | None, requests: Sequence[Kept]) -> Cell:
    """Say how many webhooks a library verifies."""
    if not requests:
        return Cell(None, "nothing arrived")
    if secret is None:
        return Cell(None, "the sender does not sign, or does not tell the secret")
    if standard_headers(requests[0].headers) is None:
        return Cell(None, "its headers are not those of Standard Webhooks, which the library is for")
    verified = verify(secret, requests)
    if verified is None:
        return Cell(None, "the library is not on this machine")
    return Cell(f"{sum(verified)} of {len(verified)}")

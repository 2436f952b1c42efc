"""When a pending task is asked: a pure function of its age and its provider's kind, so that waiting costs no write.

The rule is `docs/design.md`, "When a task is asked".
"""

from __future__ import annotations

_QUIET_UNTIL_S = 20
_EAGER_UNTIL_S = 180
_STEADY_UNTIL_S = 600
_STEADY_EVERY_S = 15
_SLOW_EVERY_S = 60


def next_question_ms(submitted_at_ms: int, after_ms: int, poll_every_s: float) -> int:
    """Return the first moment after `after_ms` at which a task is due to be asked.

    Due moments lie at fixed ages, whoever asks, so a new poller goes on exactly where another stopped. That a new
    task is asked once at once is the caller's part: it depends on no age.

    Parameters
    ----------
    submitted_at_ms : int
        When the provider took the task, in milliseconds since 1970.
    after_ms : int
        The moment up to which the task has been looked after, in milliseconds since 1970.
    poll_every_s : float
        The interval of the provider's kind in a task's first three minutes, in seconds.

    Returns
    -------
    int
        Milliseconds since 1970; always greater than `after_ms`.
    """
    age_ms = after_ms - submitted_at_ms
    spans = (
        (_QUIET_UNTIL_S, _EAGER_UNTIL_S, poll_every_s),
        (_EAGER_UNTIL_S, _STEADY_UNTIL_S, max(_STEADY_EVERY_S, poll_every_s)),
    )
    for start_s, end_s, every_s in spans:
        due_ms = _first_step_after(age_ms, start_s, every_s)
        if due_ms < end_s * 1000:
            return submitted_at_ms + due_ms
    return submitted_at_ms + _first_step_after(age_ms, _STEADY_UNTIL_S, max(_SLOW_EVERY_S, poll_every_s))


def _first_step_after(age_ms: int, start_s: int, every_s: float) -> int:
    start_ms, every_ms = start_s * 1000, round(every_s * 1000)
    steps = max(0, (age_ms - start_ms) // every_ms + 1)
    return start_ms + steps * every_ms

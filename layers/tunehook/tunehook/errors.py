"""The errors of tunehook. A class says what happens next, so that nobody parses a message.

``InvalidInput``     the user's data is wrong: say so, give up on that one thing.
``Unavailable``      something we depend on did not answer as it should: try again later.
``Misconfigured``    the deployment itself is wrong: fail loudly, nothing is acknowledged.
"""


class TunehookError(Exception):
    """Base of every error that tunehook raises on purpose."""


class InvalidInput(TunehookError):
    """A value given by a user is not acceptable.

    Parameters
    ----------
    field : str
        The field at fault, as the user knows it (``notify_hook``, ``headers.x-token``).
    reason : str
        What is wrong with it, in a few words, without the value where that may be a secret.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class NotFound(InvalidInput):
    """Nothing has the name that a user gave."""


class Conflict(InvalidInput):
    """What a user named is in a state in which this cannot be done."""


class Unavailable(TunehookError):
    """A dependency failed in a way that may pass; the same work can be tried again unchanged."""


class Misconfigured(TunehookError):
    """The deployment lacks or contradicts something that only its owner can mend."""

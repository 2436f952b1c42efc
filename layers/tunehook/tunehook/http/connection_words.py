"""How the texts begin that say why a connection was not made: by them its reason is known again. Imports nothing."""

from typing import Final

REFUSED: Final = "the connection was refused"
NO_ROUTE: Final = "there is no route to the address"
NOT_REACHED: Final = "no connection"
"""In time: DNS, TCP or TLS had not come to an end."""

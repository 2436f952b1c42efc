"""How long tests wait for what happens in real time: no machine is so slow, only what hangs takes so long."""

from typing import Final

HANG_S: Final = 60.0

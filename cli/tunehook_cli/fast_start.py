"""What makes a short command start and end sooner, and changes nothing else."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from types import ModuleType
from typing import Any, Final

_GC_THRESHOLDS: Final = (200_000, 20, 100)
_TRANSFERS: Final = "s3transfer.manager"


class _TransferConfig:
    """Has what `boto3.compat` asks the real one for."""

    UNSET_DEFAULT: Final = None


class _Transfers(ModuleType):
    """Stands in for s3transfer until it is asked for its one class by `boto3.compat`, and is gone then.

    That import alone would take a tenth of a short command. `boto3.s3.transfer` imports the real module later, where a
    client of S3 is made.
    """

    def __getattr__(self, name: str) -> Any:
        if name != "TransferConfig":
            raise AttributeError(name)
        sys.modules.pop(_TRANSFERS, None)
        return _TransferConfig


def prepare() -> None:
    """Prepare this process, before it imports boto3 and builds its first pydantic model."""
    # What is imported stays: to search all of it for garbage, again and again, would take another tenth, and a seventh
    # when Python ends, which searches all that is not frozen.
    gc.set_threshold(*_GC_THRESHOLDS)
    atexit.register(gc.freeze)
    # Pydantic asks every package that is installed whether it extends pydantic. The command wants no such extension.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if "boto3" not in sys.modules and _TRANSFERS not in sys.modules:
        sys.modules[_TRANSFERS] = _Transfers(_TRANSFERS)

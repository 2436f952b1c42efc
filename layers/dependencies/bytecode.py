"""Add byte code to the layer when this interpreter is of the layer's Python version: /opt is read-only on Lambda, so
without it every cold start compiles every module anew.

usage: bytecode.py VERSION FOLDER
"""

import compileall
import py_compile
import re
import sys

UNUSED = (
    "anyio|h11|httpcore|pydantic/v1|pydantic/deprecated"
    "|aiohttp/(web\\w*|worker|test_utils|pytest_plugin)\\.py"
    "|aws_lambda_powertools/event_handler"
    "|aws_lambda_powertools/utilities/(auth_alpha|circuit_breaker|data_masking|feature_flags|idempotency|kafka"
    "|kafka_schema_registry|parameters|parser|streaming|validation)"
)
"""What no function loads, as a pattern of paths below the layer's folder: its byte code would be half of it all."""


def main(version: str, folder: str) -> None:
    """Compile the modules below `folder` if this interpreter is of `version` ("3.13"); otherwise do nothing."""
    if version != f"{sys.version_info.major}.{sys.version_info.minor}":
        return
    compileall.compile_dir(
        folder,
        quiet=1,
        rx=re.compile(f"{re.escape(folder)}/({UNUSED})(/|$)"),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

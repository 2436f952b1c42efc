"""Add byte code to the layer when this interpreter is of the layer's Python version: /opt is read-only on Lambda, so
without it every cold start compiles every module anew.

usage: bytecode.py VERSION FOLDER
"""

import compileall
import py_compile
import sys


def main(version: str, folder: str) -> None:
    """Compile the modules below `folder` if this interpreter is of `version` ("3.13"); otherwise do nothing."""
    if version != f"{sys.version_info.major}.{sys.version_info.minor}":
        return
    compileall.compile_dir(folder, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Strip debug information from compiled modules: some wheels are mostly that, and a layer has a size limit.

usage: slim.py FOLDER

The dynamic loader reads an ELF file by its segments; sections, symbols and debug information lie behind them. So a
file is cut where its last segment ends, as by `sstrip`. Binutils need not be there, nor know the processor.
"""

import struct
import sys
from pathlib import Path

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")


def main(folder: str) -> None:
    for path in sorted(Path(folder).rglob("*.so*")):
        content = path.read_bytes()
        if content.startswith(_MAGIC):
            path.write_bytes(slim(content))


def slim(content: bytes) -> bytes:
    """Return a 64-bit little-endian ELF file without what lies behind its segments and without its section table."""
    fields = list(_HEADER.unpack_from(content))
    table, size, count = fields[5], fields[9], fields[10]
    ends = [table + size * count]
    for number in range(count):
        _, _, offset, _, _, in_file, *_ = _SEGMENT.unpack_from(content, table + number * size)
        ends.append(offset + in_file)
    # Where the table of sections is, how long it is, and which section has their names.
    fields[6] = fields[12] = fields[13] = 0
    return _HEADER.pack(*fields) + content[_HEADER.size : max(ends)]


if __name__ == "__main__":
    main(*sys.argv[1:])

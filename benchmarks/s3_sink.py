"""An S3 that takes what is uploaded, slowly, and keeps nothing: what waits for it fills its client's memory.

Run it with ``python -m benchmarks.s3_sink PORT``.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from tunehook_local.embedded.ministack import free_port

PART_TAKES_S: Final = 4.0
"""How long it thinks about each part after it has all of it."""

_START_WITHIN_S: Final = 20.0
_PIECE_BYTES: Final = 1024 * 1024


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer the calls that copying files makes."""
    async for _ in request.content.iter_chunked(_PIECE_BYTES):
        pass
    match request.method:
        case "HEAD":
            return web.Response(status=404)
        case "GET":
            return _xml(
                "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
            )
        case "POST" if "uploads" in request.query:
            return _xml(
                "<InitiateMultipartUploadResult><UploadId>upload</UploadId></InitiateMultipartUploadResult>"
            )
        case "POST":
            return _xml("<CompleteMultipartUploadResult><ETag>whole</ETag></CompleteMultipartUploadResult>")
        case "PUT":
            await asyncio.sleep(PART_TAKES_S)
            return web.Response(headers={"ETag": "part"})
    return web.Response(status=204)


def _xml(content: str) -> web.Response:
    return web.Response(text=content, content_type="application/xml")


@contextmanager
def s3_sink() -> Iterator[str]:
    """Run it as a process of its own.

    Yields
    ------
    str
        Its endpoint.
    """
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.s3_sink", str(port)])
    try:
        _wait_for(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    give_up_at = time.monotonic() + _START_WITHIN_S
    while process.poll() is None and time.monotonic() < give_up_at:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("the sink did not start")


def main() -> None:
    """Serve until it is ended."""
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()

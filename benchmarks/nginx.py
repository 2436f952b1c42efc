"""nginx on loopback, for stand-ins that are not the limit of what is measured."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tunehook_local.embedded.ministack import free_port

_START_WITHIN_S: Final = 10.0

_CONFIG: Final = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
{http}
}}
"""


class NginxMissingError(RuntimeError):
    """There is no nginx on this machine."""


@contextmanager
def nginx(prepare: Callable[[Path, int], str]) -> Iterator[str]:
    """Run nginx in a folder of its own.

    Parameters
    ----------
    prepare : callable
        Puts the files to be served into a folder, and returns what the configuration's ``http`` block holds, given
        that folder and the port to listen on.

    Yields
    ------
    str
        Its base URL.

    Raises
    ------
    NginxMissingError
        If nginx is not installed.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise NginxMissingError("nginx is missing; on Debian: apt-get install nginx-light")
    with tempfile.TemporaryDirectory(prefix="tunehook-nginx-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)  # started by root, nginx reads as another user
        config = folder / "nginx.conf"
        config.write_text(_CONFIG.format(http=prepare(folder, port)), encoding="utf-8")
        server = subprocess.Popen([program, "-p", name, "-c", str(config), "-e", "stderr"])
        try:
            _wait_for(server, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    give_up_at = time.monotonic() + _START_WITHIN_S
    while server.poll() is None and time.monotonic() < give_up_at:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("nginx did not start")

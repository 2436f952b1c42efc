"""A provider stand-in that is not the limit: nginx on loopback, whose every answer says that a task is under way."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunehook_cli.local.ministack import free_port

GROUP = 100
"""Tasks in one answer to suno's query-many."""

_START_WITHIN_S = 10.0

# A question about many tasks names them in its body, which nginx knows only once it passes the question on: so it
# asks itself, and picks the answer by the group in the first id.
_CONFIG = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_body_buffer_size 64k;
    proxy_buffers 16 32k;
    open_file_cache max=1000;
    map $request_body $group {{ "~\\"g(?<found>\\d+)-" $found; }}
    upstream itself {{ server 127.0.0.1:{port}; keepalive 64; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ ^/api/v1/task/(?<task>[^/]+)$ {{ return 200 '{single}'; }}
        location = /suno/fetch {{
            proxy_pass http://itself/groups/;
            proxy_method GET;
            proxy_http_version 1.1;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Connection "";
            proxy_set_header X-Group $group;
        }}
        location = /groups/ {{ root {folder}; try_files /$http_x_group.json =404; }}
    }}
}}
"""


class NginxMissingError(RuntimeError):
    """There is no nginx on this machine."""


def task_ids(number: int) -> list[str]:
    """Return ids of tasks that the stand-in knows, group by group."""
    return [f"g{index // GROUP:04}-{index % GROUP:02}-64f3a1b2c8d9" for index in range(number)]


@contextmanager
def gateway(number: int) -> Iterator[str]:
    """Run the stand-in.

    It answers musicmint's query-one about any task, and suno's query-many about `number` tasks in groups of `GROUP`.

    Parameters
    ----------
    number : int
        How many of `task_ids` suno's query-many knows.

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
    with tempfile.TemporaryDirectory(prefix="tunehook-gateway-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # started by root, nginx reads as another user
        port = free_port()
        ids = task_ids(number)
        for start in range(0, number, GROUP):
            (folder / f"{start // GROUP:04}.json").write_bytes(_many(ids[start : start + GROUP]))
        config = folder / "nginx.conf"
        config.write_text(_CONFIG.format(port=port, folder=folder, single=_SINGLE), encoding="utf-8")
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


_SINGLE = json.dumps(
    {
        "code": 0,
        "message": "ok",
        "request_id": "req-1710000000000",
        "data": {"id": "$task", "status": "processing", "created_at": 1710000000000},
    }
)


def _many(ids: list[str]) -> bytes:
    tasks = [
        {
            "task_id": task_id,
            "notify_hook": "",
            "action": "MUSIC",
            "status": "IN_PROGRESS",
            "fail_reason": "",
            "submit_time": 1733717567,
            "start_time": 1733717567,
            "finish_time": 0,
            "progress": "30%",
            "data": None,
        }
        for task_id in ids
    ]
    return json.dumps({"code": "success", "message": "", "data": tasks}).encode()

"""A provider stand-in that is not the limit: nginx on loopback, whose every answer says that a task is under way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.nginx import nginx

GROUP = 100
"""Tasks in one answer to suno's query-many."""

# A question about many tasks names them in its body, which nginx knows only once it passes the question on: so it
# asks itself, and picks the answer by the group in the first id.
_HTTP = """
    default_type application/json;
    keepalive_requests 1000000;
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
"""


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
    ids = task_ids(number)

    def prepare(folder: Path, port: int) -> str:
        for start in range(0, number, GROUP):
            (folder / f"{start // GROUP:04}.json").write_bytes(_many(ids[start : start + GROUP]))
        return _HTTP.format(port=port, folder=folder, single=_SINGLE)

    with nginx(prepare) as base_url:
        yield base_url


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

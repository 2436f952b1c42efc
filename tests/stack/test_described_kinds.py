"""A task of an API that a recipe describes, on the embedded stack: pictures, a video, an archive and a PDF."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from tests.stack.commanding import Command
from tests.stack.driving import DeployedStack, eventually, webhooks_about
from tests.support.media import HTML
from tests.support.template import ROOT

from tunehook_local.sandbox import Sandbox

MEDIA: Final = ROOT / "tests" / "unit" / "fulfillment" / "media"
KEY: Final = "a-key-of-pictures"


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as zipped:
        zipped.writestr("layers/1.txt", "one")
    return made.getvalue()


FILES: Final = {
    "/files/first.png": ("image/png", (MEDIA / "image.png").read_bytes()),
    "/files/second": ("application/octet-stream", (MEDIA / "image.webp").read_bytes()),
    "/files/film.mp4": ("video/mp4", (MEDIA / "video.mp4").read_bytes()),
    "/files/layers.zip": ("application/zip", archive()),
    "/files/odd.png": ("image/png", b'{"seed": 7}'),
}
RECIPE: Final = """\
about = "Pictures, for a test"

[key]
in = "header"
name = "x-key"

[ask]
path = "/v1/pictures/{task_id}"

[task]
status = "state"
reason = "error"

[words]
processing = ["running"]
succeeded = ["done"]
failed = ["broken"]

[clips]
each = "output"
id = "name"
title = "title"
output_url = "url"
output_type = { expression = "kind" }
"""


class _Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        port = self.server.server_address[1]
        if self.path.startswith("/v1/pictures/"):
            assert self.headers["x-key"] == KEY
            names = ("first.png", "second", "film.mp4", "layers.zip", "odd.png")
            kinds = ("image", "image", None, None, "image")
            output: list[dict[str, Any]] = [
                {"name": name.partition(".")[0], "kind": kind, "url": f"http://127.0.0.1:{port}/files/{name}"}
                for name, kind in zip(names, kinds, strict=True)
            ]
            output[0]["title"] = "A cat"
            output.append({"name": "inside", "url": "data:application/pdf;base64,JVBERi0xLjcK"})
            self._answer("application/json", json.dumps({"state": "done", "output": output}).encode())
        else:
            self._answer(*FILES.get(self.path, ("text/html", HTML)))

    def _answer(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def pictures_api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Api)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def told(
    stack: DeployedStack, sandbox: Sandbox, main_secret: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """The webhook about the task, once it has ended; the provider is set by the command."""
    recipe = tmp_path_factory.mktemp("recipe") / "pictures.toml"
    recipe.write_text(RECIPE)
    before = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["ProvidersSecret"])
    with pictures_api() as url, stack.configured(json.loads(before["SecretString"])):
        tunehook = Command(stack)
        tunehook(
            *("providers", "set", "pictures", "--recipe", str(recipe), "--base-url", url, "--api-key", KEY)
        )
        assert tunehook.status == 0, tunehook.errors
        stack.put("TasksTable", task_id="outputs", provider="pictures")
        (request,) = eventually(lambda: webhooks_about(sandbox, "main", "outputs"), moved=stack.moved)
        yield Webhook(main_secret).verify(request.body, request.headers)


def test_each_output_is_a_clip_with_one_file_that_is_kept_as_what_it_is(told: dict[str, Any]) -> None:
    assert (told["type"], told["data"]["archive"]) == ("task.completed", "complete")
    files = {clip["clip_id"]: clip["assets"] for clip in told["data"]["clips"]}
    assert {
        clip_id: [
            (each["key"].rpartition("/")[2], each["content_type"], each.get("remark")) for each in assets
        ]
        for clip_id, assets in files.items()
    } == {
        "first": [("image.png", "image/png", None)],
        "second": [("image.webp", "image/webp", None)],
        "film": [("video.mp4", "video/mp4", None)],
        "layers": [("file.zip", "application/zip", None)],
        "odd": [("image.json", "application/json", "unexpected")],
        "inside": [("file.pdf", "application/pdf", None)],
    }


def test_the_links_of_outputs_lead_to_attachments_of_the_same_bytes(told: dict[str, Any]) -> None:
    served = [content for _, content in FILES.values()]
    for clip, content in zip(told["data"]["clips"], [*served, b"%PDF-1.7\n"], strict=True):
        (asset,) = clip["assets"]
        answer = httpx.get(asset["url"], trust_env=False)
        assert answer.content == content
        assert hashlib.sha256(content).hexdigest() == asset["sha256"]
        assert answer.headers["content-disposition"].startswith("attachment;")


def test_the_command_downloads_outputs_under_their_names(
    stack: DeployedStack, told: dict[str, Any], tmp_path: Path
) -> None:
    tunehook = Command(stack)
    tunehook("results", "outputs", "--download", str(tmp_path))
    assert tunehook.status == 0, tunehook.errors
    kept = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    names = ("A cat.png", "second.webp", "film.mp4", "layers.zip", "odd.json")
    served = [content for _, content in FILES.values()]
    assert kept == dict(zip(names, served, strict=True)) | {"inside.pdf": b"%PDF-1.7\n"}

"""README.md as a reader uses it: its blocks are pasted, in order, into a shell; its code runs, too.

Ports differ from the README's, so that this runs beside a user's own embedded AWS. Nothing else does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from standardwebhooks import Webhook
from tests.stack.driving import HANG_S
from tests.support.pages import NODE, Block, Page, ran
from tests.support.shell import Shell, shell
from tests.support.template import ROOT

from tunehook.signatures import derive_secret, sign
from tunehook.times import now_ms

README: Final = Page("README.md")

NOT_HERE: Final = re.compile(r"^make (demo|test|smoke|deploy)\b", re.MULTILINE)
"""What CI runs by itself, and what is for a real account."""
UNTIL_CTRL_C: Final = re.compile(
    r"^\S*tunehook (sandbox|listen|logs --follow|local up(?! --detach))", re.MULTILINE
)
"""What a reader runs in another terminal."""
READY: Final = {"sandbox": "Ctrl-C", "listen": "Ctrl-C", "logs": "INFO"}
"""What each prints when it is at work, or of its work."""
UP_S: Final = 900.0
"""Set-up, build and deployment on a slow machine."""


SHELL_BLOCKS: Final = README.of("sh")
PASTED: Final = [each for each in SHELL_BLOCKS if not NOT_HERE.search(each.text)]


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at, each another."""
    with ExitStack() as open_sockets:
        taken = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in taken]


class Ports(NamedTuple):
    """The ports that stand for the README's."""

    aws: int
    sandbox: int
    listener: int

    def instead(self, text: str) -> str:
        """Return a block with these ports, given where a default held."""
        text = text.replace("127.0.0.1:4566", f"127.0.0.1:{self.aws}")
        text = text.replace("127.0.0.1:4580", f"127.0.0.1:{self.sandbox}")
        text = re.sub(r"(tunehook local up)\b", rf"\1 --port {self.aws}", text)
        text = re.sub(r"(tunehook sandbox)\b", rf"\1 --port {self.sandbox}", text)
        return re.sub(r"(tunehook listen)\b", rf"\1 --port {self.listener}", text)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that a reader takes for the checkout: what is downloaded into it is not left in ours."""
    folder = tmp_path / "tunehook"
    folder.mkdir()
    for each in ROOT.iterdir():
        if each.name not in ("songs", ".git"):
            (folder / each.name).symlink_to(each)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a reader's shell has before the first block: nothing of AWS, no `tunehook` on PATH."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    return kept | {"TUNEHOOK_HOME": str(tmp_path / "embedded"), "AWS_CONFIG_FILE": "/dev/null"}


@contextmanager
def embedded_aws_ended(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """End what the blocks have started, also where one of them fails."""
    try:
        yield
    finally:
        subprocess.run(
            [".venv/bin/tunehook", "local", "down"], cwd=folder, env=environment, check=False, timeout=HANG_S
        )


def kind_of(block: Block) -> str | None:
    """Return which command of a block runs until Ctrl-C."""
    found = UNTIL_CTRL_C.search(block.text)
    return found and found[1].split()[0]


def test_a_reader_pastes_the_blocks_in_order(
    checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    ports = Ports(*free_ports(3))
    with ExitStack() as until_the_end:
        until_the_end.enter_context(embedded_aws_ended(checkout, environment))
        first = until_the_end.enter_context(shell(checkout, environment))
        beside: list[tuple[str, Shell]] = []
        for block in PASTED:
            text = ports.instead(block.text)
            if (kind := kind_of(block)) is not None:
                other = until_the_end.enter_context(shell(checkout, environment))
                other.type(text)
                other.read_until(READY[kind], HANG_S)
                beside.append((kind, other))
                if kind != "sandbox":
                    interrupt(kind, other)
                continue
            failed, printed = first.paste(text, UP_S)
            assert failed == [], f"{block.heading}\n{text}\n{printed}"
            assert "Traceback" not in printed, printed
            if "prefer: wait" in text:
                assert json.loads(printed)["task_id"] == "from-curl"
            if "/results" in text:
                assert all(each["url"] for each in json.loads(printed)["assets"])
            if "results" in text and "--download" in text:
                assert any((checkout / "songs").rglob("*.mp3")), printed
        assert {kind for kind, _ in beside} == {"sandbox", "listen", "logs"}
        interrupt(*next(each for each in beside if each[0] == "sandbox"))


def interrupt(kind: str, other: Shell) -> None:
    """Press Ctrl-C: the prompt comes back, and the command has said nothing of an error."""
    other.interrupt()
    other.type("printf '\\n%s_was_the_status\\n' $?\n")
    printed = other.read_until("_was_the_status\n", HANG_S)
    assert "Traceback" not in printed, printed
    status = printed.removesuffix("_was_the_status\n").rpartition("\n")[2]
    # `sandbox` and `listen` are ended in no other way; what follows a log is broken off.
    assert status in (("0", "130") if kind == "logs" else ("0",)), printed


class TestVerifying:
    """The README's code for a webhook."""

    secret = derive_secret("m" * 32, "sub", 1)
    body = b'{"type": "task.completed"}'

    def headers(self) -> dict[str, str]:
        at_s = now_ms() // 1000
        signature = sign("msg_1", at_s, self.body, [self.secret])
        return {"webhook-id": "msg_1", "webhook-timestamp": str(at_s), "webhook-signature": signature}

    def test_the_python_code_accepts_what_is_genuine_and_refuses_what_is_not(self) -> None:
        names: dict[str, Any] = {}
        exec(README.code("python", "standardwebhooks").replace("whsec_...", self.secret), names)
        assert names["receive"](self.headers(), self.body) == {"type": "task.completed"}
        with pytest.raises(Exception, match="signature"):
            names["receive"](self.headers(), self.body + b" ")
        assert names["Webhook"] is Webhook

    @pytest.mark.skipif(shutil.which("node") is None, reason="node is not there to run the README's code")
    @pytest.mark.skipif(not (NODE / "node_modules").is_dir(), reason="Node's packages are not installed")
    def test_the_node_code_accepts_what_is_genuine_and_refuses_what_is_not(self, tmp_path: Path) -> None:
        (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
        script = README.code("js", "standardwebhooks").replace("whsec_...", self.secret)
        script += (
            "const [headers, body] = [JSON.parse(process.argv[2]), process.argv[3]];\n"
            "const refused = () => { try { receive(headers, body + ' '); } catch { return 'refused'; } };\n"
            "console.log(receive(headers, body).type, refused());\n"
        )
        (tmp_path / "receiver.mjs").write_text(script)
        arguments = ["node", "receiver.mjs", json.dumps(self.headers()), self.body.decode()]
        told = ran(arguments, tmp_path, {"PATH": os.environ["PATH"]}, HANG_S)
        assert told == ["task.completed refused"]


def test_what_is_left_out_is_for_a_real_account_or_run_by_ci() -> None:
    left_out = [each for each in SHELL_BLOCKS if each not in PASTED]
    assert [each.heading for each in left_out] == ["Demo", "Deploy it to AWS"]
    assert not [each for each in PASTED if "example.com" in each.text]


def test_no_block_has_a_placeholder_that_a_reader_must_replace() -> None:
    for block in PASTED:
        words = re.sub(r"#.*$", "", block.text, flags=re.MULTILINE)
        assigned = set(re.findall(r"\b([A-Z_]+)=", README.text))
        capitals = set(re.findall(r"(?<![\w$\"{-])\b[A-Z]+(?:_[A-Z]+)+\b", words)) - assigned
        assert capitals == set(), block.text
        assert "<" not in words, block.text

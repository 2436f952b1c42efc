"""docs/api.md and docs/aws-sdk.md as a reader uses them: the blocks pasted into a shell, Python and Node beside it.

Addresses differ from the pages', which are those of the README's sandbox. Nothing else does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.stack.driving import HANG_S, DeployedStack, eventually
from tests.support.pages import NODE, Block, Page, ran
from tests.support.shell import Shell, shell
from tests.support.template import ROOT

from tunehook.signatures import derive_secret
from tunehook_local.sandbox import Sandbox

API: Final = Page("docs/api.md")
SDK: Final = Page("docs/aws-sdk.md")
NODE_SDK: Final = NODE / "node_modules" / "@aws-sdk" / "client-dynamodb"
needs_node: Final = pytest.mark.skipif(
    shutil.which("node") is None, reason="node is not there to run the page's code"
)


@pytest.fixture(scope="module")
def environment(stack: DeployedStack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the README's shell has: `tunehook` on its PATH, and the embedded AWS."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PYTHONPATH") if name in os.environ}
    home = tmp_path_factory.mktemp("nothing-embedded")
    ours = {
        "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "TUNEHOOK_HOME": str(home),
        "AWS_CONFIG_FILE": "/dev/null",
    }
    return kept | ours | stack.environment.variables()


@pytest.fixture(scope="module")
def reader(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell(tmp_path_factory.mktemp("reader"), environment) as opened:
        yield opened


def pasted(reader: Shell, block: Block, sandbox: Sandbox) -> str:
    """Paste a block; return what it printed, if no command of it failed."""
    failed, printed = reader.paste(as_run(block.text, sandbox), HANG_S)
    assert failed == [], f"{block.heading}\n{block.text}\n{printed}"
    assert "Traceback" not in printed, printed
    return printed


def as_run(text: str, sandbox: Sandbox) -> str:
    return text.replace("http://127.0.0.1:4580", sandbox.url)


def set_by(reader: Shell, *names: str) -> dict[str, str]:
    """Return variables of a reader's shell."""
    _, printed = reader.paste("".join(f"printf '%s=%s\\n' {name} \"${name}\"\n" for name in names), HANG_S)
    found = dict(line.split("=", 1) for line in printed.splitlines() if line.split("=")[0] in names)
    assert set(found) == set(names)
    return found


@pytest.fixture(scope="module")
def printed(reader: Shell, sandbox: Sandbox, stack: DeployedStack) -> Iterator[dict[str, list[str]]]:
    """What the blocks of docs/api.md printed, by the heading that each stands below.

    What the page subscribes is taken away in the end: it gets webhooks about every other test's tasks.
    """
    by_heading: dict[str, list[str]] = {}
    for block in API.of("sh"):
        by_heading.setdefault(block.heading, []).append(pasted(reader, block, sandbox))
    yield by_heading
    table = stack.outputs["SubscriptionsTable"]
    for receiver in ("api", "signed", "api-python", "api-node"):
        for each in subscribed_at(stack, receiver):
            stack.client("dynamodb").delete_item(TableName=table, Key={"subscription_id": {"S": each}})


@pytest.fixture(scope="module")
def api(printed: dict[str, list[str]], reader: Shell, environment: dict[str, str]) -> dict[str, str]:
    """What an application's environment has after the page's first block."""
    return {"PATH": environment["PATH"]} | set_by(reader, "TUNEHOOK_API_URL", "TUNEHOOK_KEY")


def test_the_blocks_of_the_shell_do_the_whole_job(
    printed: dict[str, list[str]], stack: DeployedStack, sandbox: Sandbox
) -> None:
    (put,) = printed["Put a task"]
    assert json.loads(put)["metadata"] == {"order": "17"}
    (submitted,) = printed["Submit through tunehook"]
    assert stack.ended_task(json.loads(submitted)["task_id"], "suno")["status"] == "completed"
    assert stack.task("api-city", "suno")["status"] == "completed"
    made, keys, changed = documents(printed["Subscribe"][1])
    assert (made["signature"], made["retry_schedule"], made["timeout_s"]) == ("both", [5, 300, 3600], 10)
    assert keys["public_keys"] == [made["public_key"]]
    assert (changed["signature"], len(changed["retry_schedule"])) == ("v1a", 9)
    assert changed["signature_both_until"] is not None
    (results,) = printed["Get the results"]
    assert all(each["url"] for each in json.loads(results)["assets"])
    assert any(each["task_id"] == "api-city" for each in documents(printed["Lists"][0])[0]["tasks"])
    assert [each["task_id"] for each in documents(printed["Ids with a slash"][0])] == ["album/1"] * 2
    assert '"timeout_s"' in printed["Errors"][0]
    (called_back,) = printed["Providers that call back"]
    assert "/v1/callbacks/suno/" in called_back


def documents(text: str) -> list[Any]:
    """Return the JSON documents that a text is made of."""
    found, text = [], text.strip()
    while text:
        document, end = json.JSONDecoder().raw_decode(text)
        found.append(document)
        text = text[end:].lstrip()
    return found


def program(language: str) -> str:
    return "\n".join(each.text for each in API.of(language))


def it_did_the_job(lines: list[str], task_id: str, stack: DeployedStack) -> None:
    """Hold what a program of the page printed to what it did."""
    (ended, *files, listed, submitted) = lines
    assert ended.split()[:2] == [task_id, "completed"]
    (subscribed,) = subscribed_at(stack, task_id)
    assert ended.split()[2] == derive_secret(stack.master_secret(), subscribed, 1)
    assert {each.split()[0] for each in files} >= {"audio", "cover"}
    assert all(int(each.split()[1]) > 1000 for each in files)
    assert task_id in listed.split()
    assert submitted == "completed"


def subscribed_at(stack: DeployedStack, receiver: str) -> list[str]:
    """Return the ids of the subscriptions of one of the sandbox's receivers."""
    items = stack.items("SubscriptionsTable")
    return [each["subscription_id"] for each in items if each["url"].endswith(f"/receiver/{receiver}")]


def test_the_python_does_the_whole_job(
    api: dict[str, str], stack: DeployedStack, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "application.py").write_text(as_run(program("python"), sandbox))
    lines = ran([sys.executable, "application.py"], tmp_path, api, HANG_S)
    it_did_the_job(lines, "api-python", stack)


@needs_node
def test_the_node_does_the_whole_job(
    api: dict[str, str], stack: DeployedStack, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "application.mjs").write_text(as_run(program("js"), sandbox))
    it_did_the_job(ran(["node", "application.mjs"], tmp_path, api, HANG_S), "api-node", stack)


@pytest.fixture(scope="module")
def sdk(reader: Shell, sandbox: Sandbox, stack: DeployedStack, environment: dict[str, str]) -> dict[str, str]:
    """What an application's environment has after the page's blocks."""
    for block in SDK.of("sh"):
        pasted(reader, block, sandbox)
    names = ("TASKS_TABLE", "RESULTS_BUCKET")
    aws = {name: value for name, value in environment.items() if name.startswith("AWS_")}
    return {"PATH": environment["PATH"]} | aws | set_by(reader, *names)


@pytest.fixture(scope="module")
def key(sdk: dict[str, str], stack: DeployedStack) -> str:
    """The key of a file of the task that the page's curl has put."""
    assert stack.ended_task("from-curl", "suno")["status"] == "completed"
    assets = eventually(lambda: stack.task("from-curl", "suno").get("assets"), moved=stack.moved)
    return str(next(each["key"] for each in assets if each.get("key")))


def test_the_python_of_the_sdk_puts_reads_and_links(
    sdk: dict[str, str], key: str, stack: DeployedStack, tmp_path: Path
) -> None:
    asked = "import sys\nprint(status_of('suno', 'from-curl'), link(sys.argv[1]))\n"
    script = "\n".join([SDK.code("python", "put_item"), SDK.code("python", "presigned"), asked])
    script += "submit('suno', 'from-python', metadata={'order': '17'})\n"
    (tmp_path / "application.py").write_text(script)
    (line,) = ran([sys.executable, "application.py", key], tmp_path, sdk, HANG_S)
    it_leads_to_a_file(line)
    assert stack.ended_task("from-python", "suno")["status"] == "completed"


@needs_node
@pytest.mark.skipif(not NODE_SDK.is_dir(), reason="Node's packages are not installed")
def test_the_node_of_the_sdk_puts_reads_and_links(
    sdk: dict[str, str], key: str, stack: DeployedStack, tmp_path: Path
) -> None:
    asked = "console.log(await statusOf('suno', 'from-curl'), await link(process.argv[2]));"
    script = "\n".join([SDK.code("js", "PutItemCommand"), SDK.code("js", "getSignedUrl"), asked])
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    (tmp_path / "application.mjs").write_text(f"{script}\nawait submit('suno', 'from-node');\n")
    (line,) = ran(["node", "application.mjs", key], tmp_path, sdk, HANG_S)
    it_leads_to_a_file(line)
    assert stack.ended_task("from-node", "suno")["status"] == "completed"


def it_leads_to_a_file(line: str) -> None:
    status, url = line.split()
    assert status == "completed"
    fetched = subprocess.run(
        ["curl", "--fail", "--silent", url], capture_output=True, check=True, timeout=HANG_S
    )
    assert len(fetched.stdout) > 1000

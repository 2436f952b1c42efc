"""What docs/webhooks.md shows to receivers is what is sent, and its code verifies it."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from tests.support.template import ROOT

from fulfillment.payload import payload_of
from tunehook.deliveries import Delivery, new_delivery
from tunehook.events import (
    ArchivedAsset,
    ClipDetail,
    KnownAsset,
    ManifestLocation,
    PendingAsset,
    TaskCompleted,
    completeness,
)
from tunehook.signatures import derive_public_key, derive_secret, derive_secret_key, sign
from tunehook.subscriptions import WebhookType
from tunehook.tasks import FailureCode, Format
from tunehook.times import now_ms, to_ms
from tunehook.webhook_body import render
from webhooks.attempt import ATTEMPT_S
from webhooks.policy import WAITS_MS

PAGE = (ROOT / "docs" / "webhooks.md").read_text()
CONTRACT = (ROOT / "docs" / "webhook-contract.md").read_text()
GO_CACHE = ROOT / ".tunehook" / "go-build"

SECRET = "whsec_SvC8jDGLuBtSmj+FKXjVXOF+KwLSD8w+UC5Yx8nCDYE="
TASK_ID = "0b2a4cb5-8087-40c4-9cdb-b2e77915b7df"
CLIP_ID = "a06015d0-9e04-4f30-85db-401494940394"
FOLDER = f"results/my-gateway/{TASK_ID}"
ENDED = datetime(2026, 11, 20, 16, 1, 57, 123_000, UTC)
SENT_MS = to_ms(ENDED) + 4_000

EVENT = TaskCompleted(
    event_id="evt_6d0f2b1c9a8e47d3b5c4f1a2e3d40596",
    task_id=TASK_ID,
    provider="my-gateway",
    submitted_at=datetime(2026, 11, 20, 16, 0, 3, tzinfo=UTC),
    finished_at=datetime(2026, 11, 20, 16, 1, 54, tzinfo=UTC),
    detected_at=ENDED,
    metadata={"order": "17"},
    clips=(
        ClipDetail(
            clip_id=CLIP_ID,
            title="City Lights",
            tags=("emotional", "punk"),
            prompt="[Verse]\nWalking down the streets",
            duration_s=219,
            model="chirp-v4",
            created_at=datetime(2026, 11, 20, 16, 0, 9, tzinfo=UTC),
        ),
    ),
)
ASSETS = (
    ArchivedAsset(
        clip_id=CLIP_ID,
        type="audio",
        status="archived",
        key=f"{FOLDER}/{CLIP_ID}/audio.mp3",
        content_type="audio/mpeg",
        bytes=3_504_117,
        sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ),
    ArchivedAsset(clip_id=CLIP_ID, type="cover", status="unavailable", reason="HTTP 403"),
)
PROVIDER_OBJECT = {
    "task_id": TASK_ID,
    "action": "MUSIC",
    "status": "SUCCESS",
    "fail_reason": "",
    "submit_time": 1795190403,
    "start_time": 1795190404,
    "finish_time": 1795190514,
    "progress": "100%",
    "data": [
        {
            "id": CLIP_ID,
            "title": "City Lights",
            "tags": "emotional punk",
            "prompt": "[Verse]\nWalking down the streets",
            "duration": 219,
            "audio_url": f"https://cdn.example.com/{CLIP_ID}.mp3",
            "image_url": f"https://cdn.example.com/{CLIP_ID}.jpeg",
        }
    ],
}


def delivery(form: Format, assets: Sequence[KnownAsset] = ASSETS) -> Delivery:
    manifest = ManifestLocation(bucket="tunehook-results", key=f"{FOLDER}/manifest.json")
    return new_delivery(
        event_id=EVENT.event_id,
        subscription_id="sub_4c1f0a9be7d25638",
        task_id=TASK_ID,
        provider="my-gateway",
        type="task.completed",
        event_at_ms=to_ms(ENDED),
        format=form,
        payload=payload_of(form, EVENT, PROVIDER_OBJECT, assets, manifest),
        now_ms=SENT_MS,
    )


def link(key: str) -> str:
    return f"https://tunehook-results.s3.amazonaws.com/{key}?X-Amz-Signature=..."


def body(form: Format, assets: Sequence[KnownAsset] = ASSETS) -> bytes:
    return render(delivery(form, assets), link, SENT_MS).content


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def code(language: str, *, ed25519: bool = False) -> str:
    hmac_block, ed25519_block = blocks(language)
    return ed25519_block if ed25519 else hmac_block


@functools.cache
def section(title: str, page: str = PAGE) -> str:
    match = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    assert match, title
    return match[2]


@pytest.mark.parametrize("form", Format)
def test_the_example_of_a_format_is_what_is_sent(form: Format) -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```$", section(f"`{form}`"), re.MULTILINE | re.DOTALL)
    assert json.loads(shown) == json.loads(body(form))


@pytest.mark.parametrize("form", Format)
def test_the_content_type_of_a_format_is_the_one_that_the_page_says(form: Format) -> None:
    assert f"`{render(delivery(form), link, SENT_MS).content_type}`" in section("The formats") + section(
        f"`{form}`"
    )


def test_the_example_of_a_file_that_may_come_is_what_is_sent() -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```$", section("Prompt"), re.MULTILINE | re.DOTALL)
    url = json.loads(shown)["source_url"]
    missing = PendingAsset(clip_id=CLIP_ID, type="video", source_url=url, reason="HTTP 404")
    data = json.loads(body(Format.STANDARD, (missing,)))["data"]
    assert data["archive"] == "pending"
    assert data["clips"][0]["assets"] == [json.loads(shown)]


@pytest.mark.parametrize("word", get_args(get_type_hints(completeness)["return"]))
def test_every_state_of_an_archive_is_named(word: str) -> None:
    assert f"| `{word}` |" in section("Prompt")


@pytest.mark.parametrize("kind", WebhookType)
def test_every_type_of_a_webhook_is_named(kind: WebhookType) -> None:
    assert f"| `{kind}` |" in section("The formats")


def test_the_example_request_is_signed_with_the_example_secret() -> None:
    headers = dict(line.split(": ", 1) for line in blocks("http")[0].splitlines()[1:] if ": " in line)
    sample = delivery(Format.STANDARD)
    assert headers["webhook-id"] == sample.delivery_id
    assert headers["webhook-timestamp"] == str(SENT_MS // 1000)
    assert headers["webhook-signature"] == sign(
        sample.delivery_id, SENT_MS // 1000, body(Format.STANDARD), [SECRET]
    )
    assert SECRET in PAGE


def cases(*, ed25519: bool = False) -> list[dict[str, Any]]:
    """Requests, and whether each is genuine."""
    now_s = now_ms() // 1000
    derive = derive_secret_key if ed25519 else derive_secret
    secret, other, older = (derive("m" * 32, name, 1) for name in ("sub", "other", "older"))
    hmac_secret = derive_secret("m" * 32, "sub", 1)
    known = derive_public_key("m" * 32, "sub", 1) if ed25519 else secret
    kind = "v1a" if ed25519 else "v1"

    def case(
        genuine: bool,
        *,
        at_s: int = now_s,
        content: bytes | None = None,
        secrets: tuple[str, ...] = (secret,),
    ) -> dict[str, Any]:
        signed = body(Format.STANDARD)
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(at_s),
            "webhook-signature": sign("msg_1", at_s, signed, secrets),
        }
        text = (signed if content is None else content).decode()
        return {"genuine": genuine, "secret": known, "headers": headers, "body": text}

    def without(name: str) -> dict[str, Any]:
        whole = case(False)
        return whole | {"headers": {key: value for key, value in whole["headers"].items() if key != name}}

    def with_header(name: str, value: str) -> dict[str, Any]:
        whole = case(False)
        return whole | {"headers": whole["headers"] | {name: value}}

    return [
        case(True),
        case(True, secrets=(other, secret)),
        case(True, secrets=(secret, older)),
        case(True, secrets=(hmac_secret, secret)),
        case(True, at_s=now_s - 240),
        case(True, at_s=now_s + 240),
        case(False, secrets=(other,)),
        case(False, at_s=now_s - 360),
        case(False, at_s=now_s + 360),
        case(False, content=body(Format.STANDARD) + b" "),
        case(False, content=b""),
        *map(without, ("webhook-id", "webhook-timestamp", "webhook-signature")),
        with_header("webhook-id", "msg_2"),
        with_header("webhook-timestamp", "soon"),
        with_header("webhook-timestamp", "-1"),
        with_header("webhook-signature", ""),
        with_header("webhook-signature", f"{kind},"),
        with_header("webhook-signature", f"v2,x {kind},x"),
    ]


PYTHON = """
import json, sys
from verify import verify

def genuine(case):
    try:
        verify(case["secret"], case["headers"], case["body"].encode())
    except ValueError:
        return False
    return True

print(json.dumps([genuine(case) for case in json.load(sys.stdin)]))
"""

NODE = """
import { readFileSync } from "node:fs";
import { verify } from "./verify.mjs";

const genuine = ({ secret, headers, body }) => {
  try {
    verify(secret, headers, Buffer.from(body));
  } catch (error) {
    if (error.constructor !== Error) throw error;
    return false;
  }
  return true;
};
console.log(JSON.stringify(JSON.parse(readFileSync(0)).map(genuine)));
"""

GO = """
package main

import (
	"encoding/json"
	"net/http"
	"os"

	ed25519 "example.com/receiver/ed25519"
	hmac "example.com/receiver/hmac"
)

func main() {
	verify := hmac.Verify
	if os.Args[1] == "ed25519" {
		verify = ed25519.Verify
	}
	var cases []struct {
		Secret  string
		Headers map[string]string
		Body    string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	verdicts := []bool{}
	for _, each := range cases {
		header := http.Header{}
		for name, value := range each.Headers {
			header.Set(name, value)
		}
		verdicts = append(verdicts, verify(each.Secret, header, []byte(each.Body)) == nil)
	}
	json.NewEncoder(os.Stdout).Encode(verdicts)
}
"""


def verdicts(folder: Path, command: list[str], *, ed25519: bool = False, **environment: str) -> list[bool]:
    ran = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)} | environment,
        input=json.dumps(cases(ed25519=ed25519)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    told: list[bool] = json.loads(ran.stdout)
    return told


def expected() -> list[bool]:
    return [case["genuine"] for case in cases()]


by_hmac_and_ed25519 = pytest.mark.parametrize("ed25519", [False, True], ids=["HMAC", "Ed25519"])


@by_hmac_and_ed25519
def test_the_python_code_tells_genuine_from_forged(tmp_path: Path, ed25519: bool) -> None:
    (tmp_path / "verify.py").write_text(code("python", ed25519=ed25519))
    (tmp_path / "check.py").write_text(PYTHON)
    assert verdicts(tmp_path, [sys.executable, "check.py"], ed25519=ed25519) == expected()


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not there to run the page's code")
@by_hmac_and_ed25519
def test_the_node_code_tells_genuine_from_forged(tmp_path: Path, ed25519: bool) -> None:
    (tmp_path / "verify.mjs").write_text(code("js", ed25519=ed25519))
    (tmp_path / "check.mjs").write_text(NODE)
    assert verdicts(tmp_path, ["node", "check.mjs"], ed25519=ed25519) == expected()


@pytest.mark.skipif(shutil.which("go") is None, reason="go is not there to run the page's code")
def test_the_go_code_tells_genuine_from_forged(tmp_path: Path) -> None:
    for name, ed25519 in (("hmac", False), ("ed25519", True)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "verify.go").write_text(code("go", ed25519=ed25519))
    (tmp_path / "check.go").write_text(GO)
    (tmp_path / "go.mod").write_text("module example.com/receiver\n\ngo 1.21\n")
    environment = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    # Built first: the cases are of this minute, and a compiler may take longer. Most of it is the standard library.
    build = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GOCACHE": str(GO_CACHE)} | environment
    subprocess.run(["go", "build", "-o", "check", "."], cwd=tmp_path, env=build, check=True, timeout=600)
    assert verdicts(tmp_path, ["./check", "hmac"], **environment) == expected()
    assert verdicts(tmp_path, ["./check", "ed25519"], ed25519=True, **environment) == expected()


def test_the_schedule_is_the_one_that_is_kept() -> None:
    units = {"s": 1, "min": 60, "h": 3600}
    rows = re.findall(
        r"^\| (\d+) \| (?:at once|(\d+) (s|min|h)) \|", section("Attempts", CONTRACT), re.MULTILINE
    )
    assert [int(number) for number, _, _ in rows] == list(range(1, len(WAITS_MS) + 2))
    assert [int(count) * units[unit] * 1000 for _, count, unit in rows[1:]] == list(WAITS_MS)


def test_each_time_after_the_first_attempt_is_the_sum_of_the_waits() -> None:
    units = {"s": 1, "min": 60, "h": 3600}
    totals = re.findall(r"^\| \d+ \| .* \| (.*) \|$", section("Attempts", CONTRACT), re.MULTILINE)
    seconds = [
        sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+) (s|min|h)\b", total))
        for total in totals
    ]
    assert seconds == [sum(WAITS_MS[:count]) // 1000 for count in range(1, len(WAITS_MS) + 1)]


def test_the_time_to_answer_is_that_of_an_attempt() -> None:
    assert f"within {ATTEMPT_S:g} seconds" in PAGE


@pytest.mark.parametrize("failure", FailureCode)
def test_every_code_of_a_failure_is_named(failure: FailureCode) -> None:
    assert f"`{failure.value}`" in PAGE


def test_what_the_contract_says_is_said_there_alone() -> None:
    schedule = re.compile(r"^\| attempt \| wait \|", re.MULTILINE)
    assert schedule.search(CONTRACT)
    assert not schedule.search(PAGE)
    for title in ("Attempts", "Where a request may go"):
        anchor = title.lower().replace(" ", "-")
        assert section(title, CONTRACT)
        assert f"](webhook-contract.md#{anchor})" in PAGE


def test_the_formats_are_described_for_receivers_alone() -> None:
    assert "](webhooks.md#the-formats)" in CONTRACT
    assert [form for form in Format if f"### `{form}`" not in PAGE] == []
    assert "application/cloudevents+json" not in CONTRACT

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from tests.support.aws import REGION, client, put, received

KEY = "results/suno/task-1/clip%201/audio.mp3"
MANIFEST = "results/suno/task-1/manifest.json"
DATA = b"ID3 and the song"
ASSET = {
    "clip_id": "clip 1",
    "type": "audio",
    "source_url": "https://cdn.example/a.mp3",
    "status": "archived",
    "key": KEY,
    "content_type": "audio/mpeg",
    "bytes": len(DATA),
    "sha256": hashlib.sha256(DATA).hexdigest(),
}
MISSING = {"clip_id": "clip 1", "type": "cover", "status": "unavailable", "reason": "HTTP 403"}


def keep(*assets: dict[str, Any], data: bytes = DATA) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="results", Key=MANIFEST, Body=json.dumps({"assets": assets}).encode())
    s3.put_object(Bucket="results", Key=KEY, Body=data)
    clips = [{"clip_id": "clip 1", "title": "我的曲目"}]
    item = {"task_id": "task-1", "provider": "suno", "status": "completed", "event_id": "evt_1"}
    put("TasksTable", item | {"clips": clips, "archived_at_ms": 7})


def test_the_files_are_listed_with_links_and_reasons(tunehook: Any, stack: None) -> None:
    keep(ASSET, MISSING)
    result = tunehook("results", "task-1")
    assert "我的曲目" in result.stdout
    (link,) = [line for line in result.stdout.splitlines() if line.startswith("https://")]
    assert "/audio.mp3?" in link
    assert "Signature=" in link
    assert "我的曲目.mp3" in result.stdout
    assert "unavailable: HTTP 403" in result.stdout
    assert "Links expire at" in result.stderr


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_a_link_is_never_folded_and_the_table_fits(tunehook: Any, stack: None, columns: str) -> None:
    keep(ASSET, MISSING)
    lines = tunehook("results", "task-1", env={"COLUMNS": columns}).stdout.splitlines()
    links = [line for line in lines if line.startswith("https://")]
    assert len(links) == 1
    assert "Signature=" in links[0]
    assert all(cell_len(line) <= int(columns) for line in lines if line not in links)
    assert lines == [line.rstrip() for line in lines]


def test_a_task_without_files_says_so(tunehook: Any, stack: None) -> None:
    keep()
    assert tunehook("results", "task-1").stderr == "The provider returned no files.\n"


def test_the_list_as_json_has_links_that_say_when_they_end(tunehook: Any, stack: None) -> None:
    keep(ASSET, MISSING)
    there, missing = json.loads(tunehook("results", "task-1", "--json").stdout)
    assert there["key"] == KEY
    assert there["url"].startswith("https://")
    assert there["url_expires_at"].endswith("Z")
    assert there.keys() == missing.keys()
    assert missing == dict.fromkeys(there) | MISSING | {"title": "我的曲目"}


def test_files_are_downloaded_and_lie_below_the_folder(tunehook: Any, stack: None, tmp_path: Path) -> None:
    keep(ASSET, MISSING)
    result = tunehook("results", "task-1", "--download", str(tmp_path / "new"), "--json")
    there, missing = json.loads(result.stdout)
    assert Path(there["path"]) == tmp_path / "new" / "我的曲目.mp3"
    assert Path(there["path"]).read_bytes() == DATA
    assert missing["path"] is None


@pytest.mark.parametrize(
    ("kind", "name", "content_type", "remark"),
    [
        ("lyrics", "lyrics.txt", "text/plain; charset=utf-8", None),
        ("audio", "audio.bin", "audio/x-new", "unrecognised"),
    ],
)
def test_texts_and_files_of_no_known_kind_are_listed_and_downloaded(
    tunehook: Any,
    stack: None,
    tmp_path: Path,
    kind: str,
    name: str,
    content_type: str,
    remark: str | None,
) -> None:
    key = f"results/suno/task-1/text-1/{name}"
    more = {} if remark is None else {"remark": remark}
    keep(ASSET | {"clip_id": "text-1", "type": kind, "key": key, "content_type": content_type} | more)
    client("s3").put_object(Bucket="results", Key=key, Body=DATA)
    listed = tunehook("results", "task-1").stdout
    assert ", ".join(filter(None, (content_type, remark))) in listed
    tunehook("results", "task-1", "--download", str(tmp_path))
    assert (tmp_path / f"text-1.{name.rpartition('.')[2]}").read_bytes() == DATA


def test_a_file_that_is_not_what_was_kept_is_an_error_and_not_left_there(
    tunehook: Any, stack: None, tmp_path: Path
) -> None:
    keep(ASSET, data=b"something else")
    result = tunehook("results", "task-1", "--download", str(tmp_path))
    assert result.exit_code == 2
    assert "SHA-256" in result.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_that_is_there_already_is_not_downloaded_again(
    tunehook: Any, stack: None, tmp_path: Path
) -> None:
    keep(ASSET)
    tunehook("results", "task-1", "--download", str(tmp_path))
    client("s3").delete_object(Bucket="results", Key=KEY)
    assert tunehook("results", "task-1", "--download", str(tmp_path)).exit_code == 0


def test_a_folder_that_cannot_be_written_is_named(tunehook: Any, stack: None, tmp_path: Path) -> None:
    keep(ASSET)
    (tmp_path / "file").write_text("")
    result = tunehook("results", "task-1", "--download", str(tmp_path / "file"))
    assert result.exit_code == 2
    assert "--download: cannot write" in result.stderr


def test_a_task_of_which_nothing_is_kept_is_an_error(tunehook: Any, stack: None) -> None:
    keep(ASSET)
    put("TasksTable", {"task_id": "task-2", "provider": "suno", "status": "pending"})
    result = tunehook("results", "task-2")
    assert (result.exit_code, result.stderr) == (
        2,
        "tunehook: TASK_ID: no files are kept of task-2 (status pending)\n",
    )


@pytest.fixture
def queue(stack: None, deploy: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    from tests.unit.cli.conftest import OUTPUTS

    url: str = client("sqs").create_queue(QueueName="fulfillment")["QueueUrl"]
    deploy("other", outputs=OUTPUTS | {"FulfillmentQueue": url})
    monkeypatch.setenv("TUNEHOOK_STACK", "other")
    return url


def test_archive_asks_for_what_is_missing_and_says_when_it_did(tunehook: Any, queue: str) -> None:
    keep(ASSET)
    assert tunehook("archive", "task-1", "--no-wait").stdout == "Requested.\n"
    (request,) = received(queue)
    assert (request["request"], request["task_id"], request["provider"]) == ("archive", "task-1", "suno")
    assert request["requested_at_ms"] > 1_700_000_000_000


@pytest.mark.parametrize(("assets", "status"), [((ASSET,), 0), ((ASSET, MISSING), 1)])
def test_archive_waits_for_the_outcome(
    tunehook: Any, queue: str, monkeypatch: pytest.MonkeyPatch, assets: tuple[Any, ...], status: int
) -> None:
    keep(*assets)

    def function(_: float) -> None:
        item = {"task_id": "task-1", "provider": "suno", "status": "completed", "event_id": "evt_1"}
        put("TasksTable", item | {"archived_at_ms": 8})

    monkeypatch.setattr("tunehook.operations.results.time.sleep", function)
    result = tunehook("archive", "task-1")
    assert result.exit_code == status
    assert f"s3://results/{KEY}" in result.stdout


def test_archive_refuses_a_task_that_has_not_ended(tunehook: Any, queue: str) -> None:
    put("TasksTable", {"task_id": "task-2", "provider": "suno", "status": "pending"})
    result = tunehook("archive", "task-2")
    assert (result.exit_code, received(queue)) == (2, [])
    assert "has not ended" in result.stderr

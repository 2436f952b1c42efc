from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from benchmarks.startup import NotThere, files_of


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("as it was")
    author = ("-c", "user.name=a", "-c", "user.email=a@x.example", "-c", "commit.gpgsign=false")
    for command in (["init", "-q"], ["add", "file"], [*author, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    (tmp_path / "file").write_text("as it is")
    return tmp_path


def test_a_commit_is_there_as_it_was_and_is_gone_afterwards(repository: Path) -> None:
    with files_of("HEAD", repository) as folder:
        assert (folder / "file").read_text() == "as it was"
    assert not folder.exists()


def test_a_commit_that_a_shallow_clone_lacks_is_said_in_a_line(repository: Path) -> None:
    with pytest.raises(NotThere, match="1d8a622") as raised, files_of("1d8a622", repository):
        pass
    assert "\n" not in str(raised.value)


def test_no_git_is_said_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotThere, match="no git"), files_of("HEAD", tmp_path):
        pass

from pathlib import Path

import pytest
from benchmarks.gateway import GROUP, NginxMissingError, gateway, task_ids


def test_ids_are_distinct_and_name_their_group() -> None:
    ids = task_ids(3 * GROUP)
    assert len(set(ids)) == 3 * GROUP
    assert {task_id.partition("-")[0] for task_id in ids[GROUP : 2 * GROUP]} == {"g0001"}


def test_a_machine_without_nginx_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_options: None)
    with pytest.raises(NginxMissingError, match="apt-get install nginx-light"), gateway(GROUP):
        pass

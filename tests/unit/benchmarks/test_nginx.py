import pytest
from benchmarks.nginx import NginxMissingError, nginx


def test_a_machine_without_nginx_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_options: None)
    with pytest.raises(NginxMissingError, match="apt-get install nginx-light"), nginx(lambda *_: ""):
        pass

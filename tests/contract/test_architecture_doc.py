import re
from pathlib import Path

import pytest
from tests.support.template import ROOT

NAMED = re.findall(
    r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`", (ROOT / "docs/architecture.md").read_text("utf-8")
)


def test_the_document_names_tests() -> None:
    assert len(NAMED) > 30


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_is_named_is_there(path: str, name: str) -> None:
    file = ROOT / Path(path)
    assert file.is_file()
    assert not name or re.search(rf"def {name}\(", file.read_text("utf-8"))

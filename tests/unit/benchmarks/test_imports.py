from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.imports import FUNCTIONS, Pack, clients_of, size_mb


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    packed = Pack(tmp_path_factory.mktemp("pack"))
    packed.tunehook_layer()
    for name in FUNCTIONS:
        packed.function(name)
    return packed


@pytest.mark.parametrize(
    ("function", "services"),
    [
        ("intake", {"dynamodb", "lambda"}),
        ("poller", {"dynamodb", "events", "lambda", "secretsmanager"}),
        ("fulfillment", {"dynamodb", "events", "s3", "sqs"}),
        ("webhooks", {"dynamodb", "events", "s3", "secretsmanager", "sqs"}),
    ],
)
def test_the_baseline_makes_the_clients_that_the_function_makes(
    pack: Pack, function: str, services: set[str]
) -> None:
    assert set(clients_of(pack, function)) == services


@pytest.mark.parametrize("module", ["poller.app", "tunehook.tasks"])
def test_what_is_measured_is_what_was_packed_with_its_byte_code(pack: Pack, module: str) -> None:
    program = "import importlib, sys; found = importlib.import_module(sys.argv[1]); print(found.__cached__)"
    byte_code = Path(pack.python("poller", program, module).strip())
    assert byte_code.is_file()
    assert {"PollerFunction", "TunehookLayer"} & set(byte_code.parts)
    unchecked_hash = 0b01
    assert int.from_bytes(byte_code.read_bytes()[4:8], "little") == unchecked_hash


def test_a_folder_is_as_large_as_the_files_in_it(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "file").write_bytes(bytes(1_500_000))
    (tmp_path / "file").write_bytes(bytes(500_000))
    assert size_mb(tmp_path) == 2

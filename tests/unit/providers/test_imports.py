from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LAYER = Path(__file__).parents[3] / "layers" / "tunehook"
PROVIDERS = "import tunehook.providers.client, tunehook.providers.kinds; "
FORBIDDEN = {"boto3", "botocore", "aws_lambda_powertools", "moto", "aiohttp", "httpx", "pydantic"}


def imported(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(LAYER)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def test_the_layer_imports_nothing_of_aws_no_http_library_and_no_models() -> None:
    modules = imported(f"{PROVIDERS}import sys; print(*sys.modules)").stdout.split()
    assert not FORBIDDEN & {module.partition(".")[0] for module in modules}


def test_beside_itself_and_the_standard_library_the_layer_imports_one_package() -> None:
    before, after = (
        {name.partition(".")[0] for name in imported(f"{code}import sys; print(*sys.modules)").stdout.split()}
        for code in ("", PROVIDERS)
    )
    assert after - before - sys.stdlib_module_names == {"aiolimiter", "tunehook"}

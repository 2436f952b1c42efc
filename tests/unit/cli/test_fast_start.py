import os
import subprocess
import sys

SCRIPT = """
import sys
from tunehook_cli import fast_start
fast_start.prepare()
import boto3
print("s3transfer.tasks" in sys.modules, "s3transfer.manager" in sys.modules)
from tunehook_cli.aws_session import new_session
s3 = new_session(region_name="eu-west-1").client("s3", aws_access_key_id="k", aws_secret_access_key="s")
import boto3.s3.transfer
print(callable(s3.download_file), boto3.s3.transfer.TransferConfig().max_concurrency)
from s3transfer.manager import TransferManager
print(TransferManager.__module__)
from boto3.compat import TRANSFER_CONFIG_SUPPORTS_CRT
from s3transfer.manager import TransferConfig
print(TRANSFER_CONFIG_SUPPORTS_CRT is hasattr(TransferConfig, "UNSET_DEFAULT"))
"""


def test_boto3_is_there_without_what_transfers_files_until_that_is_used() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    printed = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert printed.split() == ["False", "False", "True", "10", "s3transfer.manager", "True"]

"""Where download links lead, in every region that botocore knows."""

from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from tests.support.template import ROOT

from tunehook.aws.clients import client
from tunehook.aws.links import link, s3_client
from tunehook.operations.results import get_link
from tunehook.operations.stack import Stack

SESSION = boto3.Session(aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="not-a-secret")
REGIONS = [
    (partition, region)
    for partition in SESSION.get_available_partitions()
    for region in SESSION.get_available_regions("s3", partition)
]
BUCKET = "tunehook-resultsbucket-1abcdefghijkl"
KEY = "results/suno/task/clip/ein Lied ü.mp3"


@pytest.fixture(autouse=True)
def _no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


def link_in(region: str, endpoint_url: str | None = None) -> str:
    there: Any = SimpleNamespace(client=partial(SESSION.client, region_name=region))
    return link(s3_client(partial(client, session=there, endpoint_url=endpoint_url)), BUCKET, KEY)


def test_all_partitions_are_tried() -> None:
    assert {"aws", "aws-cn", "aws-us-gov"} <= {partition for partition, _ in REGIONS}
    assert {"us-east-1", "eu-central-1", "il-central-1"} <= {region for _, region in REGIONS}


@pytest.mark.parametrize(("partition", "region"), REGIONS)
def test_a_link_names_the_bucket_by_the_host_of_its_region(partition: str, region: str) -> None:
    told = urlsplit(link_in(region))
    assert SESSION.get_partition_for_region(region) == partition
    assert told.scheme == "https"
    assert told.netloc.startswith(f"{BUCKET}.s3.{region}.")
    assert told.path == "/results/suno/task/clip/ein%20Lied%20%C3%BC.mp3"
    signed = parse_qs(told.query)
    assert signed["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert signed["X-Amz-Expires"] == ["3600"]
    assert signed["X-Amz-Credential"][0].split("/")[2:] == [region, "s3", "aws4_request"]


@pytest.mark.parametrize("host", ["127.0.0.1:4566", "172.17.0.1:4566"])
def test_where_the_endpoint_is_an_address_the_bucket_stays_in_the_path(host: str) -> None:
    told = urlsplit(link_in("us-east-1", f"http://{host}"))
    assert told.netloc == host
    assert told.path.startswith(f"/{BUCKET}/results/")


def test_links_are_made_nowhere_else() -> None:
    sources = [
        path for part in ("functions", "layers/tunehook", "cli") for path in (ROOT / part).rglob("*.py")
    ]
    presigning = {path.name for path in sources if "generate_presigned_url" in path.read_text()}
    assert presigning == {"links.py"}


def test_the_command_makes_links_of_the_region_too() -> None:
    there: Any = SimpleNamespace(client=partial(SESSION.client, region_name="il-central-1"))
    stack = Stack(
        "tunehook",
        "il-central-1",
        outputs={"ResultsBucket": BUCKET},
        parameters={},
        open_client=partial(client, session=there),
    )
    assert urlsplit(get_link(stack, KEY).url).netloc == f"{BUCKET}.s3.il-central-1.amazonaws.com"

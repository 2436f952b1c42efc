from typing import Any

import pytest
from tests.support.aws import BUCKET, client

from poller.inline_files import InlineFiles
from tunehook.providers import InlineFile

FILE = InlineFile("clip/1", "audio", b"ID3")


@pytest.fixture
def bucket(aws: None) -> str:
    client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": client("s3").meta.region_name}
    )
    return BUCKET


def test_a_file_is_put_where_fulfillment_looks_for_it(bucket: str) -> None:
    InlineFiles(lambda: client("s3"), bucket).store("evt_1", FILE)
    found = client("s3").get_object(Bucket=bucket, Key="inline/evt_1/clip%2F1/audio")
    assert found["Body"].read() == b"ID3"


def test_a_client_is_made_with_the_first_file_and_once(bucket: str) -> None:
    made: list[Any] = []

    def make() -> Any:
        made.append(client("s3"))
        return made[-1]

    files = InlineFiles(make, bucket)
    assert made == []
    files.store("evt_1", FILE)
    files.store("evt_1", FILE)
    assert len(made) == 1

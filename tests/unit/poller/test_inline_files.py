import pytest
from tests.support.aws import BUCKET, client

from poller.inline_files import store_inline_file
from tunehook.providers.outcomes import InlineFile

FILE = InlineFile("clip/1", "audio", b"ID3")


@pytest.fixture
def bucket(aws: None) -> str:
    client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": client("s3").meta.region_name}
    )
    return BUCKET


def test_a_file_is_put_where_fulfillment_looks_for_it(bucket: str) -> None:
    store_inline_file(lambda: client("s3"), bucket, "evt_1", FILE)
    found = client("s3").get_object(Bucket=bucket, Key="inline/evt_1/clip%2F1/audio")
    assert found["Body"].read() == b"ID3"

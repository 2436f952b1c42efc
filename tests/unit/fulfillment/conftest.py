from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from tests.support.aws import BUCKET, REGION, client

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def bucket(aws: None) -> str:
    client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return BUCKET


@pytest.fixture
async def http() -> AsyncIterator[Callable[[Handler], httpx.AsyncClient]]:
    """Makes clients whose requests a function answers."""
    made: list[httpx.AsyncClient] = []

    def make(handler: Handler) -> httpx.AsyncClient:
        made.append(httpx.AsyncClient(transport=httpx.MockTransport(handler), max_redirects=3))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()

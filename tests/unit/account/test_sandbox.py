from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws
from tests.account.bundle import FOLDER
from tests.account.sandbox.app import LARGE_BYTES, Request, Sandbox, origin_of, response_of
from tests.account.sandbox.books import Books, PlannedTask
from tests.account.tasks import digest
from tests.support.aws import client
from tests.support.template import read_template

from tunehook_local.sandbox.model import Kind

PATH_KEY, API_KEY = "p" * 48, "k" * 48
NOW_MS = 1_795_000_000_000
LAMBDA_ANSWER_BYTES = 6_291_556
"""What a function may answer at most."""


@pytest.fixture
def books() -> Iterator[Books]:
    with mock_aws():
        table = read_template((FOLDER / "template.yaml").read_text())["Resources"]["BooksTable"]["Properties"]
        client("dynamodb").create_table(TableName="books", **table)
        yield Books(client("dynamodb"), "books")


@pytest.fixture
def sandbox(books: Books) -> Sandbox:
    return Sandbox(lambda: books, PATH_KEY, API_KEY)


def request(
    path: str, method: str = "GET", *, key: str | None = API_KEY, body: Any = None, number: int = 1
) -> Request:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return Request.of(
        {
            "rawPath": path,
            "headers": headers,
            "body": None if body is None else json.dumps(body),
            "requestContext": {
                "requestId": f"request-{number}",
                "domainName": "abc.lambda-url.eu-west-1.on.aws",
                "apiId": "abc",
                "http": {"method": method},
            },
        }
    )


def asked(kind: Kind, task_id: str, **more: Any) -> Request:
    match kind:
        case Kind.MUSICMINT:
            return request(f"/{PATH_KEY}/musicmint/api/v1/task/{task_id}", "POST", **more)
        case Kind.QHAIGC:
            return request(f"/{PATH_KEY}/qhaigc/v1/music/tasks/{task_id}", **more)
        case Kind.SUNO:
            return request(f"/{PATH_KEY}/suno/suno/fetch/{task_id}", **more)


def status_in(content: Any) -> str:
    return str(json.loads(content.body)["data"]["status"])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Kind.MUSICMINT, ["queuing", "processing", "completed"]),
        (Kind.QHAIGC, ["PENDING", "PROCESSING", "SUCCESS"]),
        (Kind.SUNO, ["QUEUED", "IN_PROGRESS", "SUCCESS"]),
    ],
)
def test_a_task_takes_its_seconds_from_the_first_question_on(
    books: Books, sandbox: Sandbox, kind: Kind, words: list[str]
) -> None:
    books.plan_task(PlannedTask(kind, "t1", seconds=10))

    told = [
        status_in(sandbox.answer(asked(kind, "t1"), NOW_MS + after_ms)) for after_ms in (0, 5_000, 10_000)
    ]

    assert told == words


def test_another_instance_of_the_function_knows_when_a_task_began(books: Books, sandbox: Sandbox) -> None:
    books.plan_task(PlannedTask(Kind.SUNO, "t1", seconds=10))
    sandbox.answer(asked(Kind.SUNO, "t1"), NOW_MS)

    other = Sandbox(lambda: Books(client("dynamodb"), "books"), PATH_KEY, API_KEY)

    assert status_in(other.answer(asked(Kind.SUNO, "t1"), NOW_MS + 10_000)) == "SUCCESS"


def test_a_task_that_fails_says_why(books: Books, sandbox: Sandbox) -> None:
    books.plan_task(PlannedTask(Kind.SUNO, "t1", seconds=0, fails_for="no"))

    data = json.loads(sandbox.answer(asked(Kind.SUNO, "t1"), NOW_MS).body)["data"]

    assert (data["status"], data["fail_reason"], data["data"]) == ("FAILURE", "no", None)


def test_lyrics_are_a_text(books: Books, sandbox: Sandbox) -> None:
    books.plan_task(PlannedTask(Kind.SUNO, "t1", seconds=0, lyrics=True))

    data = json.loads(sandbox.answer(asked(Kind.SUNO, "t1"), NOW_MS).body)["data"]

    assert (data["action"], bool(data["data"]["text"])) == ("LYRICS", True)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("key", [None, "", "another", API_KEY[:-1]])
def test_without_its_key_a_provider_tells_nothing(
    books: Books, sandbox: Sandbox, kind: Kind, key: str | None
) -> None:
    books.plan_task(PlannedTask(kind, "t1", seconds=0))

    content = sandbox.answer(asked(kind, "t1", key=key), NOW_MS)

    assert b"t1" not in content.body
    assert json.loads(content.body).get("code") == 1004 if kind is Kind.MUSICMINT else content.status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/suno/suno/fetch/t1",
        f"/{'q' * 48}/suno/suno/fetch/t1",
        f"/{PATH_KEY}",
        f"/{PATH_KEY}/nobody/fetch/t1",
        f"/{PATH_KEY}/suno/elsewhere",
        f"/{PATH_KEY}/receiver/anybody",
        f"/{PATH_KEY}/assets/suno/t1/secret.mp3",
        f"/{PATH_KEY}/assets/suno/../../app.py",
    ],
)
def test_there_is_nothing_where_nothing_is_planned(books: Books, sandbox: Sandbox, path: str) -> None:
    books.plan_task(PlannedTask(Kind.SUNO, "t1", seconds=0))

    assert sandbox.answer(request(path), NOW_MS).status == 404


@pytest.mark.parametrize("kind", list(Kind))
def test_a_task_that_is_not_planned_is_unknown_to_its_provider(sandbox: Sandbox, kind: Kind) -> None:
    content = sandbox.answer(asked(kind, "t9"), NOW_MS)

    assert json.loads(content.body)["code"] == (4005 if kind is Kind.MUSICMINT else "task_not_exist")


def test_many_tasks_are_told_at_once(books: Books, sandbox: Sandbox) -> None:
    for kind in (Kind.SUNO, Kind.MUSICMINT):
        for number in (1, 2):
            books.plan_task(PlannedTask(kind, f"t{number}", seconds=0))
    path = f"/{PATH_KEY}"

    suno = sandbox.answer(
        request(f"{path}/suno/suno/fetch", "POST", body={"ids": ["t2", "t1", "t9"]}), NOW_MS
    )
    musicmint = sandbox.answer(request(f"{path}/musicmint/api/v1/tasks", "POST", body={"page": 1}), NOW_MS)

    assert [task["task_id"] for task in json.loads(suno.body)["data"]] == ["t1", "t2"]
    assert json.loads(musicmint.body)["data"]["total"] == 2


def test_a_clip_leads_to_its_file(books: Books, sandbox: Sandbox) -> None:
    books.plan_task(PlannedTask(Kind.QHAIGC, "t1", seconds=0))
    clip = json.loads(sandbox.answer(asked(Kind.QHAIGC, "t1"), NOW_MS).body)["data"]["data"][0]
    origin = "https://abc.lambda-url.eu-west-1.on.aws"
    assert clip["audioUrl"].startswith(f"{origin}/{PATH_KEY}/assets/qhaigc/t1/")

    content = sandbox.answer(request(clip["audioUrl"].removeprefix(origin), key=None), NOW_MS)

    assert (content.status, content.headers["content-type"]) == (200, "audio/mpeg")
    assert content.body[:2] in (b"ID", b"\xff\xfb")


def test_a_large_file_is_4_mb_and_fits_what_a_function_may_answer(books: Books, sandbox: Sandbox) -> None:
    books.plan_task(PlannedTask(Kind.MUSICMINT, "t1-large", seconds=0))
    clip = json.loads(sandbox.answer(asked(Kind.MUSICMINT, "t1-large"), NOW_MS).body)["data"]["results"][0]

    content = sandbox.answer(request("/" + clip["audio_url"].split("/", 3)[3], key=None), NOW_MS)
    response = response_of(content)

    assert len(content.body) == LARGE_BYTES == 4 * 1024 * 1024
    assert len(json.dumps(response)) < LAMBDA_ANSWER_BYTES
    assert digest(base64.b64decode(response["body"])) == digest(content.body)


def test_a_receiver_refuses_as_often_as_it_is_told_and_keeps_everything(
    books: Books, sandbox: Sandbox
) -> None:
    books.plan_receiver("r1", refusals=2)
    path = f"/{PATH_KEY}/receiver/r1"

    answered = [
        sandbox.answer(request(path, "POST", body={"n": number}, number=number), NOW_MS + number).status
        for number in range(4)
    ]

    assert answered == [503, 503, 204, 204]
    arrivals = books.arrivals("r1")
    assert [(json.loads(each.body), each.status, each.at_ms) for each in arrivals] == [
        ({"n": number}, answered[number], NOW_MS + number) for number in range(4)
    ]
    assert arrivals[0].headers["authorization"] == f"Bearer {API_KEY}"


def test_two_requests_of_one_moment_are_both_kept(books: Books, sandbox: Sandbox) -> None:
    books.plan_receiver("r1")

    for number in (1, 2):
        sandbox.answer(request(f"/{PATH_KEY}/receiver/r1", "POST", number=number), NOW_MS)

    assert len(books.arrivals("r1")) == 2


def test_it_knows_its_own_address_on_aws_and_on_the_embedded_one(monkeypatch: pytest.MonkeyPatch) -> None:
    context = {"domainName": "abc.lambda-url.eu-west-1.on.aws", "apiId": "abc"}
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert origin_of(context) == "https://abc.lambda-url.eu-west-1.on.aws"

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert origin_of(context) == "http://127.0.0.1:4566/_aws/lambda-url/abc"

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.support.aws import BUCKET, Faulty, client, fault
from tests.support.media import HTML, MP3
from tests.support.tasks import KEY, NOW_MS
from tests.support.virtual_tests import in_virtual_time
from tests.unit.fulfillment.world import keys

from fulfillment.archiver import EXPIRED, Archiver, Recorded, TaskFiles, TaskRun
from fulfillment.assets import Asset
from fulfillment.results import Results
from tunehook.events import ArchivedAsset, PendingAsset
from tunehook.times import from_ms

# As documented, and not imported: a bound that moves is to be noticed.
CONCURRENCY = 8
KEEP_S = 200.0
WAITS_S = (0.0, 1.0, 2.0, 4.0)

BEST, SECOND = "https://cdn.example.com/1.mp3", "https://up.example.com/1.mp3"
AUDIO = Asset("clip-1", "audio", (BEST, SECOND))
ONLY = Asset("clip-1", "audio", (BEST,))
RUN = TaskRun(KEY, NOW_MS)
Answer = Callable[[httpx.Request], Any]


class Hosts:
    """Answers each link in turn, the last answer from then on; a link that is not named gives an mp3.

    A number is a status, bytes are a file, a float is a file that takes so many seconds.
    """

    def __init__(self, answers: dict[str, list[Any]] | None = None) -> None:
        self._answers = answers or {}
        self.asked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0

    async def handle(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        self.asked.append(url)
        answers = self._answers.get(url, [MP3])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, float):
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                await asyncio.sleep(answer)
            finally:
                self.at_once -= 1
            answer = MP3
        if isinstance(answer, httpx.Response):
            return answer
        if isinstance(answer, int):
            return httpx.Response(answer)
        return httpx.Response(200, stream=httpx.ByteStream(answer))


@dataclass(frozen=True)
class Kept:
    """What came of one file, and whether it may come later."""

    asset: ArchivedAsset
    may_come: bool = False
    retry_after_s: float = 0.0


class Clock:
    """The seconds that the archive has slept."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept_s += seconds


async def keep(
    hosts: Hosts,
    *assets: Asset,
    within_s: float = KEEP_S,
    now_ms: int = NOW_MS,
    clock: Clock | None = None,
    s3: Any = None,
    run: TaskRun = RUN,
    https_only: bool = False,
    event_id: str = "",
    files: TaskFiles | None = None,
) -> list[Kept]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(hosts.handle), max_redirects=3) as http:
        archive = Archiver(
            Results(s3 or client("s3"), BUCKET),
            http,
            max_asset_bytes=1_000_000,
            https_only=https_only,
            sleep=(clock or Clock()).sleep,
            clock=lambda: now_ms,
        )
        if files is None:
            files = await archive.inspect(TaskRun(run.key, run.run_ms, event_id), assets or (AUDIO,))
        await archive.archive(files, within_s)
    return [
        Kept(asset, True, files.retry_after_s) if isinstance(current, PendingAsset) else Kept(asset)
        for asset, current in zip(files.settled(), files.current(), strict=True)
    ]


async def test_a_kept_file_says_where_it_lies_and_what_it_is(bucket: str) -> None:
    (kept,) = await keep(Hosts())
    assert kept == Kept(
        ArchivedAsset(
            clip_id="clip-1",
            type="audio",
            source_url=BEST,
            status="archived",
            key="results/suno/task-1/clip-1/audio.mp3",
            content_type="audio/mpeg",
            bytes=len(MP3),
            sha256=kept.asset.sha256,
        )
    )


async def test_a_fresh_file_that_is_refused_first_is_asked_again(bucket: str) -> None:
    clock = Clock()
    (kept,) = await keep(Hosts({BEST: [403, 404, MP3]}), clock=clock)
    assert (kept.asset.source_url, clock.slept_s) == (BEST, WAITS_S[1] + WAITS_S[2])


async def test_a_link_that_is_refused_every_time_gives_way_to_the_second_best(bucket: str) -> None:
    hosts = Hosts({BEST: [403]})
    (kept,) = await keep(hosts)
    assert (kept.asset.status, kept.asset.source_url) == ("archived", SECOND)
    assert hosts.asked == [BEST] * len(WAITS_S) + [SECOND]


async def test_a_link_that_is_refused_for_good_is_not_asked_again(bucket: str) -> None:
    hosts = Hosts({BEST: [410]})
    await keep(hosts)
    assert hosts.asked == [BEST, SECOND]


async def test_a_file_that_may_come_is_told_so_with_all_reasons(bucket: str) -> None:
    (kept,) = await keep(Hosts({BEST: [403], SECOND: [410]}))
    assert (kept.asset.status, kept.asset.reason, kept.may_come) == (
        "unavailable",
        "HTTP 403; HTTP 410",
        True,
    )
    assert (kept.asset.source_url, kept.asset.key) == (BEST, None)


async def test_a_file_that_is_refused_for_good_by_all_is_not_waited_for(bucket: str) -> None:
    (kept,) = await keep(Hosts({BEST: [410], SECOND: [401]}))
    assert (kept.asset.reason, kept.may_come) == ("HTTP 410; HTTP 401", False)


async def test_a_page_in_place_of_the_file_may_give_way_to_it(bucket: str) -> None:
    (kept,) = await keep(Hosts({BEST: [HTML]}), ONLY)
    assert (kept.asset.status, kept.may_come) == ("unavailable", True)


async def test_a_long_retry_after_is_handed_on(bucket: str) -> None:
    busy = httpx.Response(429, headers={"retry-after": "500"})
    hosts = Hosts({BEST: [busy]})
    (kept,) = await keep(hosts, ONLY)
    assert (kept.retry_after_s, kept.may_come, len(hosts.asked)) == (500, True, 1)


async def test_of_two_hosts_that_want_to_be_left_alone_the_sooner_is_asked_again_first(bucket: str) -> None:
    busy = [httpx.Response(429, headers={"retry-after": seconds}) for seconds in ("500", "200")]
    (kept,) = await keep(Hosts({BEST: [busy[0]], SECOND: [busy[1]]}))
    assert (kept.retry_after_s, kept.may_come) == (200, True)


async def test_one_file_that_cannot_be_had_does_not_take_the_others_along(bucket: str) -> None:
    others = [Asset("clip-2", "audio", ("https://x/2",)), Asset("clip-3", "audio", ("https://x/3",))]
    kept = await keep(Hosts({BEST: [410], SECOND: [410]}), AUDIO, *others)
    assert [(each.asset.clip_id, each.asset.status) for each in kept] == [
        ("clip-1", "unavailable"),
        ("clip-2", "archived"),
        ("clip-3", "archived"),
    ]


@in_virtual_time
async def test_a_link_that_hangs_has_half_of_the_time_where_there_is_another(bucket: str) -> None:
    (kept,) = await keep(Hosts({BEST: [3600.0]}), within_s=40)
    assert (kept.asset.status, kept.asset.source_url) == ("archived", SECOND)


@in_virtual_time
async def test_files_that_hang_are_given_up_when_the_time_is_over(bucket: str) -> None:
    hosts = Hosts({f"https://x/{number}": [3600.0] for number in range(3 * CONCURRENCY)})
    many = [Asset(f"c{number}", "audio", (f"https://x/{number}",)) for number in range(3 * CONCURRENCY)]
    kept = await keep(hosts, *many, within_s=30)
    assert {each.asset.reason for each in kept} == {"not copied in time"}
    assert all(each.may_come for each in kept)


@in_virtual_time
async def test_no_more_than_a_few_files_are_copied_at_once(bucket: str) -> None:
    links = [f"https://x/{number}" for number in range(2 * CONCURRENCY)]
    hosts = Hosts({link: [5.0] for link in links})
    await keep(hosts, *(Asset(link, "audio", (link,)) for link in links))
    assert hosts.most_at_once == CONCURRENCY


async def test_trouble_with_s3_is_raised(bucket: str) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await keep(Hosts(), s3=Faulty(client("s3"), put_object=[fault("SlowDown", "PutObject")]))
    assert caught.group_contains(type(fault()), match="SlowDown")


async def test_nothing_to_keep_asks_nobody() -> None:
    class Nobody:
        pass

    archive = Archiver(Results(Nobody(), BUCKET), httpx.AsyncClient(), max_asset_bytes=1)  # type: ignore[arg-type]
    files = await archive.inspect(RUN, [])
    await archive.archive(files)
    assert files.settled() == ()


class TestExpired:
    async def test_a_link_that_the_provider_says_has_died_is_not_tried(self, bucket: str) -> None:
        hosts = Hosts()
        (kept,) = await keep(hosts, Asset("clip-1", "audio", (BEST,), expires_at=from_ms(NOW_MS)))
        assert (kept.asset.status, kept.asset.reason, kept.may_come) == ("unavailable", EXPIRED, False)
        assert hosts.asked == []

    async def test_a_link_that_lives_is_tried(self, bucket: str) -> None:
        moment = from_ms(NOW_MS) + timedelta(milliseconds=1)
        (kept,) = await keep(Hosts(), Asset("clip-1", "audio", (BEST,), expires_at=moment))
        assert kept.asset.status == "archived"

    async def test_what_was_kept_before_it_died_stays_kept(self, bucket: str) -> None:
        dying = Asset("clip-1", "audio", (BEST,), expires_at=from_ms(NOW_MS + 1))
        await keep(Hosts(), dying)
        (kept,) = await keep(Hosts(), dying, now_ms=NOW_MS + 2)
        assert kept.asset.status == "archived"


class TestAgain:
    async def test_what_lies_there_whole_is_not_copied_again(self, bucket: str) -> None:
        first = await keep(Hosts({BEST: [410]}))
        hosts = Hosts()
        assert await keep(hosts) == first
        assert hosts.asked == []

    @pytest.mark.parametrize(
        ("body", "metadata"),
        [
            (MP3[:-1], {}),
            (MP3, {"sha256": None}),
            (MP3, {"bytes": None}),
            (MP3, {"source-url": "https://elsewhere/"}),
        ],
        ids=["other length", "no digest", "no length", "another link"],
    )
    async def test_what_is_not_known_to_be_whole_is_copied_again(
        self, bucket: str, body: bytes, metadata: dict[str, str | None]
    ) -> None:
        (kept,) = await keep(Hosts())
        assert kept.asset.key is not None
        said = client("s3").head_object(Bucket=BUCKET, Key=kept.asset.key)["Metadata"] | metadata
        client("s3").put_object(
            Bucket=BUCKET,
            Key=kept.asset.key,
            Body=body,
            Metadata={name: value for name, value in said.items() if value is not None},
        )
        hosts = Hosts()
        assert (await keep(hosts))[0].asset == kept.asset
        assert hosts.asked == [BEST]

    async def test_what_a_later_run_has_copied_is_left_to_it(self, bucket: str) -> None:
        later = Asset("clip-1", "audio", ("https://x/later",))
        (kept,) = await keep(Hosts(), later, run=TaskRun(KEY, NOW_MS + 1))
        hosts = Hosts()
        (mine,) = await keep(hosts)
        assert (mine.asset.key, mine.asset.sha256, hosts.asked) == (kept.asset.key, kept.asset.sha256, [])

    async def test_what_is_known_not_to_be_had_is_not_tried(self, bucket: str) -> None:
        missing = ArchivedAsset(clip_id="clip-1", type="audio", status="unavailable", reason="HTTP 410")
        archive = Archiver(Results(client("s3"), BUCKET), httpx.AsyncClient(), max_asset_bytes=1)
        files = await archive.inspect(RUN, [AUDIO], [Recorded(missing)])
        hosts = Hosts()
        assert await keep(hosts, files=files) == [Kept(missing)]
        assert (hosts.asked, keys()) == ([], [])

    async def test_the_files_of_another_clip_are_not_taken_for_its_own(self, bucket: str) -> None:
        await keep(Hosts(), Asset("clip-10", "audio", (BEST,)))
        hosts = Hosts()
        await keep(hosts, Asset("clip-1", "audio", (BEST,)))
        assert hosts.asked == [BEST]


UNKNOWN = b"\x07\x00\x9a\x11" * 100
PLAIN = "http://gw.example.com/1.mp3"
OVER_TLS = "https://gw.example.com/1.mp3"


def plain(url: str = PLAIN) -> Asset:
    return Asset("clip-1", "audio", (url,))


async def test_a_plain_link_is_asked_for_over_https_where_nothing_else_is_allowed(bucket: str) -> None:
    hosts = Hosts()
    (kept,) = await keep(hosts, plain(), https_only=True)
    assert hosts.asked == [OVER_TLS]
    assert (kept.asset.status, kept.asset.source_url) == ("archived", PLAIN)
    await keep(hosts, plain(), https_only=True)
    assert hosts.asked == [OVER_TLS]


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://h.example:80/a:80?b", "https://h.example/a:80?b"),
        ("http://h.example:8080/a", "https://h.example:8080/a"),
        ("http://h.example", "https://h.example"),
        ("HTTP://h.example/a", "https://h.example/a"),
        ("http://h.example:80?b", "https://h.example/?b"),
    ],
)
async def test_the_host_stays_and_the_port_of_plain_http_goes(bucket: str, url: str, asked: str) -> None:
    hosts = Hosts()
    await keep(hosts, plain(url), https_only=True)
    assert [each.removesuffix("/") for each in hosts.asked] == [asked]


async def test_a_plain_link_that_fails_over_https_says_both(bucket: str) -> None:
    (kept,) = await keep(Hosts({OVER_TLS: [410]}), plain(), https_only=True)
    assert kept.asset.reason == "plain http is not allowed; asked for over https: HTTP 410"
    assert not kept.may_come


class Unreachable(Hosts):
    async def handle(self, request: httpx.Request) -> httpx.Response:
        await super().handle(request)
        raise httpx.ConnectError("refused", request=request)


async def test_a_host_that_does_not_speak_https_is_not_waited_for(bucket: str) -> None:
    hosts = Unreachable()
    (kept,) = await keep(hosts, plain(), https_only=True)
    assert hosts.asked == [OVER_TLS] * len(WAITS_S)
    assert (kept.asset.status, kept.may_come) == ("unavailable", False)
    assert "asked for over https: ConnectError" in (kept.asset.reason or "")


async def test_a_host_that_does_and_is_in_trouble_is(bucket: str) -> None:
    (kept,) = await keep(Hosts({OVER_TLS: [503]}), plain(), https_only=True)
    assert kept.may_come


async def test_an_https_link_whose_host_cannot_be_reached_is_waited_for(bucket: str) -> None:
    (kept,) = await keep(Unreachable(), plain(OVER_TLS), https_only=True)
    assert (kept.asset.reason, kept.may_come) == ("ConnectError", True)


async def test_a_plain_link_that_is_no_url_is_told_so(bucket: str) -> None:
    (kept,) = await keep(Hosts(), plain("http://"), https_only=True)
    assert "the link is not acceptable" in (kept.asset.reason or "")
    assert not kept.may_come


async def test_a_plain_link_stays_one_where_it_is_allowed(bucket: str) -> None:
    hosts = Hosts()
    await keep(hosts, plain())
    assert hosts.asked == [PLAIN]


ESCAPED = "https://cdn.example.com/1.mp3?a=1&amp;sig=x"
UNESCAPED = "https://cdn.example.com/1.mp3?a=1&sig=x"


async def test_an_escaped_link_is_asked_for_as_it_is(bucket: str) -> None:
    hosts = Hosts()
    await keep(hosts, plain(ESCAPED))
    assert hosts.asked == [ESCAPED]


@pytest.mark.parametrize("status", [400, 403, 410])
async def test_an_escaped_link_that_its_host_refuses_is_unescaped(bucket: str, status: int) -> None:
    hosts = Hosts({ESCAPED: [status]})
    (kept,) = await keep(hosts, plain(ESCAPED))
    assert hosts.asked[-1] == UNESCAPED
    assert (kept.asset.status, kept.asset.source_url) == ("archived", ESCAPED)


@pytest.mark.parametrize(
    ("escaped", "unescaped"),
    [
        ("?a=1&amp;reg=eu&copy=2&lt;=3", "?a=1&reg=eu&copy=2&lt;=3"),
        ("?a=1&AMP;b=2&#38;c=3&#x26;d=4", "?a=1&b=2&c=3&d=4"),
        ("?a=1&amp;amp;b=2", "?a=1&b=2"),
    ],
)
async def test_only_ampersands_are_unescaped(bucket: str, escaped: str, unescaped: str) -> None:
    link = "https://cdn.example.com/1.mp3"
    hosts = Hosts({link + escaped.partition("#")[0]: [410]})
    await keep(hosts, plain(link + escaped))
    assert hosts.asked[-1] == link + unescaped


async def test_an_escaped_plain_link_is_unescaped_over_https(bucket: str) -> None:
    hosts = Hosts({ESCAPED: [410]})
    (kept,) = await keep(hosts, plain(ESCAPED.replace("https", "http")), https_only=True)
    assert hosts.asked == [ESCAPED, UNESCAPED]
    assert kept.asset.status == "archived"


async def test_a_link_without_an_escape_is_asked_once(bucket: str) -> None:
    hosts = Hosts({BEST: [410]})
    await keep(hosts, ONLY)
    assert hosts.asked == [BEST]


async def test_an_escaped_link_of_a_host_in_trouble_is_not_unescaped(bucket: str) -> None:
    hosts = Hosts({ESCAPED: [503]})
    await keep(hosts, plain(ESCAPED))
    assert UNESCAPED not in hosts.asked


async def test_a_file_of_an_unknown_kind_is_kept_with_a_remark(bucket: str) -> None:
    answer = httpx.Response(200, headers={"content-type": "audio/x-new"}, stream=httpx.ByteStream(UNKNOWN))
    hosts = Hosts({BEST: [answer]})
    (kept,) = await keep(hosts, ONLY)
    assert kept.asset.key == "results/suno/task-1/clip-1/audio.bin"
    assert (kept.asset.content_type, kept.asset.remark) == ("audio/x-new", "unrecognised")
    (again,) = await keep(hosts, ONLY)
    assert (again.asset, hosts.asked) == (kept.asset, [BEST])


async def test_a_text_is_kept_without_asking_anybody(bucket: str) -> None:
    hosts = Hosts()
    text = Asset("lyrics-1", "lyrics", (), "夏の雨", content="夏の雨".encode())
    (kept,) = await keep(hosts, text)
    assert hosts.asked == []
    assert (kept.asset.key, kept.asset.bytes) == ("results/suno/task-1/lyrics-1/lyrics.txt", 9)
    stored = client("s3").get_object(Bucket=BUCKET, Key=kept.asset.key)
    assert (stored["Body"].read().decode(), stored["ContentType"]) == ("夏の雨", "text/plain; charset=utf-8")
    assert "%20lyrics.txt" in stored["ContentDisposition"]
    assert await keep(hosts, text) == [kept]


async def test_a_file_that_came_inside_the_answer_is_kept_by_its_content(bucket: str) -> None:
    client("s3").put_object(Bucket=BUCKET, Key="inline/evt_1/clip-1/audio", Body=MP3)
    hosts = Hosts()
    inside = Asset("clip-1", "audio", (), is_inline=True)
    (kept,) = await keep(hosts, inside, event_id="evt_1")
    assert kept.asset.key == "results/suno/task-1/clip-1/audio.mp3"
    client("s3").delete_object(Bucket=BUCKET, Key="inline/evt_1/clip-1/audio")
    assert await keep(hosts, inside, event_id="evt_1") == [kept]


async def test_a_file_that_came_inside_the_answer_and_is_gone_is_unavailable(bucket: str) -> None:
    (kept,) = await keep(Hosts(), Asset("clip-1", "audio", (), is_inline=True), event_id="evt_1")
    assert (kept.asset.status, kept.may_come) == ("unavailable", False)
    assert "inside the provider's answer" in (kept.asset.reason or "")


async def test_a_link_beside_the_file_inside_the_answer_is_the_second_choice(bucket: str) -> None:
    (kept,) = await keep(Hosts(), Asset("clip-1", "audio", (BEST,), is_inline=True), event_id="evt_1")
    assert (kept.asset.status, kept.asset.source_url) == ("archived", BEST)


async def test_a_file_inside_the_answer_is_kept_once_whatever_links_stand_beside_it(bucket: str) -> None:
    client("s3").put_object(Bucket=BUCKET, Key="inline/evt_1/clip-1/audio", Body=MP3)
    hosts = Hosts()
    inside = Asset("clip-1", "audio", (BEST,), is_inline=True)
    (kept,) = await keep(hosts, inside, event_id="evt_1")
    client("s3").delete_object(Bucket=BUCKET, Key="inline/evt_1/clip-1/audio")
    assert await keep(hosts, inside, event_id="evt_1") == [kept]
    assert (kept.asset.status, hosts.asked) == ("archived", [])


async def test_what_came_inside_the_answer_and_is_no_such_file_is_unavailable(bucket: str) -> None:
    client("s3").put_object(Bucket=BUCKET, Key="inline/evt_1/clip-1/audio", Body=HTML)
    (kept,) = await keep(Hosts(), Asset("clip-1", "audio", (), is_inline=True), event_id="evt_1")
    assert (kept.asset.status, kept.may_come) == ("unavailable", False)


async def test_a_text_that_is_lost_is_unavailable(bucket: str) -> None:
    (kept,) = await keep(Hosts(), Asset("clip-1", "lyrics", ()))
    assert (kept.asset.status, kept.may_come) == ("unavailable", False)
    assert kept.asset.reason == "the text was too long to be passed on, and is not kept any more"


class TestLargeFiles:
    """An object of several parts says no digest: it is in the manifest or the item, or is read from S3 once."""

    CUT = 8 * 1024 * 1024

    @pytest.fixture
    def stored(self, bucket: str) -> dict[str, Any]:
        """A whole object of two parts, left by a run that died before it wrote its digest down."""
        s3 = client("s3")
        where: Any = {"Bucket": bucket, "Key": "results/suno/task-1/clip-1/audio.mp3"}
        metadata = {"source-url": BEST, "run": str(NOW_MS)}
        upload = s3.create_multipart_upload(**where, ContentType="audio/mpeg", Metadata=metadata)
        parts: list[Any] = []
        for number, part in enumerate((MP3.ljust(self.CUT, b"\x00"), b"end"), start=1):
            which = where | {"UploadId": upload["UploadId"], "PartNumber": number}
            parts.append({"PartNumber": number, "ETag": s3.upload_part(**which, Body=part)["ETag"]})
        s3.complete_multipart_upload(**where, UploadId=upload["UploadId"], MultipartUpload={"Parts": parts})
        data = MP3.ljust(self.CUT, b"\x00") + b"end"
        return {"key": where["Key"], "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    def recorded(self, stored: dict[str, Any], **fields: Any) -> ArchivedAsset:
        return ArchivedAsset(clip_id="clip-1", type="audio", status="archived", **stored | fields)

    async def inspected(self, s3: Any, *recorded: Recorded, run: TaskRun = RUN) -> TaskFiles:
        archive = Archiver(Results(s3, BUCKET), httpx.AsyncClient(), max_asset_bytes=1)
        return await archive.inspect(run, [AUDIO], recorded)

    async def test_what_is_written_nowhere_is_read_once_and_its_host_not_asked(
        self, stored: dict[str, Any]
    ) -> None:
        s3, hosts = Faulty(client("s3")), Hosts()
        (kept,) = await keep(hosts, s3=s3)
        assert kept.asset == self.recorded(stored, source_url=BEST, content_type="audio/mpeg")
        assert hosts.asked == []
        assert [name for name, _ in s3.calls if name in ("get_object", "put_object")] == ["get_object"]

    async def test_what_is_written_down_is_not_read(self, stored: dict[str, Any]) -> None:
        s3 = Faulty(client("s3"))
        files = await self.inspected(s3, Recorded(self.recorded(stored, sha256="00ff")))
        (asset,) = files.settled()
        assert (files.pending_count, asset.sha256, asset.source_url) == (0, "00ff", BEST)
        assert "get_object" not in [name for name, _ in s3.calls]

    @pytest.mark.parametrize("what", ["another length", "another key", "an older one", "a later run"])
    async def test_what_is_written_down_of_another_object_says_nothing(
        self, stored: dict[str, Any], what: str
    ) -> None:
        recorded = Recorded(
            self.recorded(
                stored,
                bytes=stored["bytes"] - (what == "another length"),
                key="results/x" if what == "another key" else stored["key"],
            ),
            until_ms=0 if what == "an older one" else float("inf"),
        )
        run = TaskRun(KEY, NOW_MS - (what == "a later run"))
        assert (await self.inspected(client("s3"), recorded, run=run)).pending_count == 1

    async def test_what_is_replaced_while_it_is_read_is_downloaded(self, stored: dict[str, Any]) -> None:
        class Replaced:
            """An S3 whose object is another one as soon as somebody reads it."""

            def __getattr__(self, name: str) -> Any:
                return getattr(client("s3"), name)

            def get_object(self, **where: Any) -> Any:
                client("s3").put_object(Bucket=BUCKET, Key=where["Key"], Body=b"other")
                return client("s3").get_object(**where)

        hosts = Hosts()
        (kept,) = await keep(hosts, s3=Replaced())
        assert (kept.asset.sha256, hosts.asked) == (hashlib.sha256(MP3).hexdigest(), [BEST])

    async def test_what_clashes_each_time_is_read_later(self, stored: dict[str, Any]) -> None:
        s3 = Faulty(client("s3"), get_object=[fault("PreconditionFailed", "GetObject")] * 3)
        hosts = Hosts()
        (kept,) = await keep(hosts, s3=s3)
        assert (kept.may_come, kept.asset.reason, hosts.asked) == (True, "written by others each time", [])

    async def test_what_cannot_be_read_in_time_may_come_and_its_host_is_not_asked(
        self, stored: dict[str, Any]
    ) -> None:
        hosts = Hosts()
        (kept,) = await keep(hosts, within_s=-1)
        assert (kept.may_come, kept.asset.reason) == (True, "its digest was not read in time")
        assert hosts.asked == []


PICTURE = "https://cdn.example.com/1.png"


async def test_an_output_is_kept_as_what_it_is_and_not_asked_for_again(bucket: str) -> None:
    content = b"PK\x03\x04" + b"\x00" * 100
    output = Asset("out-1", "image", (PICTURE,), "Cat", is_output=True)
    hosts = Hosts({PICTURE: [content]})
    (kept,) = await keep(hosts, output)
    assert kept.asset.key == "results/suno/task-1/out-1/image.zip"
    assert (kept.asset.content_type, kept.asset.remark) == ("application/zip", "unexpected")
    assert kept.asset.sha256 == hashlib.sha256(content).hexdigest()
    stored = client("s3").head_object(Bucket=BUCKET, Key=kept.asset.key)
    assert (stored["ContentType"], stored["Metadata"]["remark"]) == ("application/zip", "unexpected")
    assert stored["ContentDisposition"].startswith('attachment; filename="Cat.zip"')
    (again,) = await keep(hosts, output)
    assert (again.asset, hosts.asked) == (kept.asset, [PICTURE])


async def test_a_page_in_place_of_an_output_may_give_way_to_it(bucket: str) -> None:
    hosts = Hosts({PICTURE: [HTML, b'{"a": 1}']})
    (kept,) = await keep(hosts, Asset("out-1", "file", (PICTURE,), is_output=True))
    assert kept.asset.key == "results/suno/task-1/out-1/file.json"


async def test_an_output_that_stays_a_page_is_waited_for(bucket: str) -> None:
    hosts = Hosts({PICTURE: [HTML]})
    (kept,) = await keep(hosts, Asset("out-1", "file", (PICTURE,), is_output=True))
    assert (kept.asset.status, kept.asset.reason, kept.may_come) == (
        "unavailable",
        "the file is a web page (HTML)",
        True,
    )


async def test_an_output_inside_the_answer_is_kept_by_its_content(bucket: str) -> None:
    client("s3").put_object(Bucket=BUCKET, Key="inline/evt_1/out-1/file", Body=b"%PDF-1.7\n")
    inside = Asset("out-1", "file", (), is_inline=True, is_output=True)
    (kept,) = await keep(Hosts(), inside, event_id="evt_1")
    assert (kept.asset.key, kept.asset.content_type) == (
        "results/suno/task-1/out-1/file.pdf",
        "application/pdf",
    )

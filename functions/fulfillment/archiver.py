"""Keeps the files of a task: side by side, patiently, and from the second-best link where the best is refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx
from aws_lambda_powertools import Logger

from fulfillment.assets import Asset, AssetName
from fulfillment.download import SILENCE_S, Download, NotCopied
from fulfillment.results import Copied, Results, Stored
from fulfillment.transfer import TaskRun, Transfer, settles, source_of, source_without_link
from tunehook.errors import InvalidInput
from tunehook.events import ArchivedAsset
from tunehook.http.urls import as_https, wire_url
from tunehook.result_keys import inline_key, safe_part, task_prefix
from tunehook.times import from_ms, now_ms

logger = Logger(child=True)

CONCURRENCY: Final = 8
KEEP_S: Final = 200.0
"""How long all of it may take: the function's time, less what telling the receivers needs."""

EXPIRED: Final = "the link has expired"

_AMPERSAND: Final = re.compile(r"&(?:(?:amp|#0*38|#x0*26);)+", re.IGNORECASE)
"""An ampersand as HTML writes it, once or several times over."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of one file: where it lies, or why it could not be had.

    `may_come` says whether it is worth another try later, not before `retry_after_s`.
    """

    asset: ArchivedAsset
    may_come: bool = False
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of a task's files so far: what came of each, and what was seen in the bucket."""

    kept: dict[AssetName, Kept] = field(default_factory=dict)
    seen: dict[str, Stored] = field(default_factory=dict)


class Archiver:
    """The kept results of tasks.

    Parameters
    ----------
    results : Results
        Where they are kept.
    http : httpx.AsyncClient
        A guarded client.
    max_asset_bytes : int
        How long a file may be.
    silence_s : float
        How long a host may send nothing.
    sleep : callable, optional
        Waits for seconds.
    clock : callable, optional
        The present moment in milliseconds since 1970.
    https_only : bool
        Whether the client allows no plain http: such links are asked for over https.
    """

    def __init__(
        self,
        results: Results,
        http: httpx.AsyncClient,
        *,
        max_asset_bytes: int,
        https_only: bool = False,
        silence_s: float = SILENCE_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._results = results
        self._transfer = Transfer(results)
        self._http = http
        self._max_asset_bytes = max_asset_bytes
        self._https_only = https_only
        self._silence_s = silence_s
        self._sleep = sleep
        self._clock = clock

    async def look(
        self,
        run: TaskRun,
        assets: Sequence[Asset],
        given_up: Mapping[AssetName, ArchivedAsset] | None = None,
    ) -> Progress:
        """Return what is known of a task's files before any host is asked.

        Parameters
        ----------
        run : TaskRun
            Whose files they are.
        assets : sequence of Asset
            The files.
        given_up : mapping, optional
            What is known not to be had, and is not tried.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            If S3 does not say what lies there.
        """
        progress = Progress()
        if not assets:
            return progress
        progress.seen.update(await self._results.below(task_prefix(run.key.provider, run.key.task_id)))
        for asset in assets:
            if (already := _lying_there(run, asset, progress.seen.values())) is not None:
                progress.kept[asset.name] = already
            elif given_up is not None and asset.name in given_up:
                progress.kept[asset.name] = Kept(given_up[asset.name])
        return progress

    async def keep(
        self,
        run: TaskRun,
        assets: Sequence[Asset],
        *,
        within_s: float = KEEP_S,
        progress: Progress | None = None,
        event_id: str = "",
    ) -> list[Kept]:
        """Copy the files of a task that do not lie in the bucket yet.

        Parameters
        ----------
        run : TaskRun
            Whose files they are.
        assets : sequence of Asset
            The files.
        within_s : float
            How many seconds it may take.
        progress : Progress, optional
            What `look` found, brought up to date with each file.
        event_id : str
            The event of the task's end, by which files that came inside the provider's answer are found.

        Returns
        -------
        list of Kept
            One for each file, in order.

        Raises
        ------
        ExceptionGroup
            Of `tunehook.aws.errors.AWS_FAULTS`, if S3 did not take a file.
        """
        slots = asyncio.Semaphore(CONCURRENCY)
        until_s = asyncio.get_running_loop().time() + within_s
        progress = progress or await self.look(run, assets)
        kept, seen = progress.kept, progress.seen

        async def keep_one(asset: Asset) -> None:
            async with slots:
                kept[asset.name] = await self._keep_one(run, asset, until_s, seen, event_id)

        async with asyncio.TaskGroup() as group:
            for asset in assets:
                if asset.name not in kept:
                    group.create_task(keep_one(asset))
        return [kept[asset.name] for asset in assets]

    async def _keep_one(
        self, run: TaskRun, asset: Asset, until_s: float, seen: dict[str, Stored], event_id: str
    ) -> Kept:
        problems: list[NotCopied] = []
        try:
            if (here := await self._keep_what_is_here(run, asset, seen, event_id)) is not None:
                return Kept(_archived(asset, None, here))
        except NotCopied as error:
            problems.append(error)
        for left, url in zip(range(len(asset.urls), 0, -1), asset.urls, strict=True):
            try:
                return Kept(_archived(asset, url, await self._copy(run, asset, url, until_s, left, seen)))
            except NotCopied as error:
                problems.append(error)
        reasons = list(dict.fromkeys(map(str, problems)))
        logger.warning(
            "asset_not_copied",
            task_id=run.key.task_id,
            provider=run.key.provider,
            clip_id=asset.clip_id,
            type=asset.type,
            reasons=reasons,
        )
        passing = [problem for problem in problems if not problem.is_final]
        return Kept(
            ArchivedAsset(
                clip_id=asset.clip_id,
                type=asset.type,
                source_url=asset.urls[0] if asset.urls else None,
                status="unavailable",
                reason="; ".join(reasons),
            ),
            may_come=bool(passing),
            retry_after_s=min((problem.retry_after_s for problem in passing), default=0.0),
        )

    async def _keep_what_is_here(
        self, run: TaskRun, asset: Asset, seen: dict[str, Stored], event_id: str
    ) -> Copied | None:
        """Keep a text, or a file that the poller found inside the answer; None where an asset has links alone."""
        content = asset.content
        if asset.is_inline:
            found = await self._results.read(inline_key(event_id, asset.clip_id, asset.type))
            if found is None:
                raise NotCopied(
                    "the file came inside the provider's answer, and is not kept any more", is_final=True
                )
            content = found[0]
        if content is None and not asset.urls:
            raise NotCopied("the text was too long to be passed on, and is not kept any more", is_final=True)
        if content is None:
            return None
        return await self._transfer.keep(run, asset, source_without_link(asset), content, seen)

    async def _copy(
        self, run: TaskRun, asset: Asset, url: str, until_s: float, links_left: int, seen: dict[str, Stored]
    ) -> Copied:
        """Copy from a link, in the ways in which it may be meant; the link as it is given comes first.

        Where plain http is not allowed, the same host is asked over https. ``&amp;`` is read as HTML has it only after
        the host has refused it as it is.
        """
        if asset.expires_at is not None and asset.expires_at <= from_ms(self._clock()):
            raise NotCopied(EXPIRED, is_final=True)
        now_s = asyncio.get_running_loop().time()
        link_until_s = now_s + (until_s - now_s) / links_left
        asked = _over_https(url) if self._https_only else url
        try:
            return await self._copy_from(asked, run, asset, url, link_until_s, seen)
        except NotCopied as error:
            unescaped = _AMPERSAND.sub("&", asked)
            if unescaped == asked or error.status is None or error.status // 100 != 4:
                raise
        return await self._copy_from(unescaped, run, asset, url, link_until_s, seen)

    async def _copy_from(
        self, asked: str, run: TaskRun, asset: Asset, url: str, until_s: float, seen: dict[str, Stored]
    ) -> Copied:
        download = Download(
            self._http,
            asked,
            max_bytes=self._max_asset_bytes,
            until_s=until_s,
            silence_s=self._silence_s,
            sleep=self._sleep,
            clock=self._clock,
        )
        try:
            async with asyncio.timeout_at(until_s):
                return await self._transfer.copy(run, asset, url, download, seen)
        except TimeoutError:
            problem = NotCopied("not copied in time")
        except NotCopied as error:
            problem = error
        if not (self._https_only and _is_plain(url)):
            raise problem
        raise NotCopied(
            f"plain http is not allowed; asked for over https: {problem}",
            # A host that does not speak https will not learn it while the receivers wait.
            is_final=problem.is_final or not download.was_answered,
            retry_after_s=problem.retry_after_s,
            status=problem.status,
        )


def _lying_there(run: TaskRun, asset: Asset, found: Collection[Stored]) -> Kept | None:
    """Return a file that this run, or another of the same links, has copied whole; or a later run, whose it is now."""
    start = f"{task_prefix(run.key.provider, run.key.task_id)}{safe_part(asset.clip_id)}/{asset.type}."
    for stored in found:
        if stored.key.startswith(start) and settles(stored, run, asset):
            url = source_of(asset, stored)
            if url is None and stored.is_later_than(run.run_ms) and asset.urls:
                url = asset.urls[0]
            return Kept(_archived(asset, url, stored.copied()))
    return None


def _is_plain(url: str) -> bool:
    return url[:7].lower() == "http://"


def _over_https(url: str) -> str:
    """Return an http link as one of the same host over https; any other as it is."""
    try:
        return as_https(wire_url(url)) if _is_plain(url) else url
    except InvalidInput:  # which the download tells in its own words
        return url


def _archived(asset: Asset, url: str | None, copied: Copied) -> ArchivedAsset:
    return ArchivedAsset(
        clip_id=asset.clip_id,
        type=asset.type,
        source_url=url,
        status="archived",
        key=copied.key,
        content_type=copied.content_type,
        bytes=copied.bytes,
        sha256=copied.sha256,
        remark=copied.remark,
    )

"""Keeps the files of a task: side by side, patiently, and from the second-best link where the best is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx
from aws_lambda_powertools import Logger

from fulfillment.assets import Asset
from fulfillment.download import SILENCE_S, Download, NotCopied
from fulfillment.results import Copied, Results, Stored
from fulfillment.transfer import Run, Transfer, source_in_metadata
from tunehook.events import ArchivedAsset
from tunehook.result_keys import safe_part, task_prefix
from tunehook.times import from_ms, now_ms

logger = Logger(child=True)

CONCURRENCY: Final = 8
KEEP_S: Final = 200.0
"""How long all of it may take: the function's time, less what telling the receivers needs."""

EXPIRED: Final = "the link has expired"

AssetName = tuple[str, str]
"""A file within its task: the clip's id and the file's type."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of one file: where it lies, or why it could not be had.

    `may_come` says whether it is worth another try later, not before `retry_after_s`.
    """

    asset: ArchivedAsset
    may_come: bool = False
    retry_after_s: float = 0.0


class Archive:
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
    """

    def __init__(
        self,
        results: Results,
        http: httpx.AsyncClient,
        *,
        max_asset_bytes: int,
        silence_s: float = SILENCE_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._results = results
        self._transfer = Transfer(results)
        self._http = http
        self._max_asset_bytes = max_asset_bytes
        self._silence_s = silence_s
        self._sleep = sleep
        self._clock = clock

    async def keep(
        self,
        run: Run,
        assets: Sequence[Asset],
        *,
        within_s: float = KEEP_S,
        given_up: Mapping[AssetName, ArchivedAsset] | None = None,
    ) -> list[Kept]:
        """Copy the files of a task that do not lie in the bucket yet.

        Parameters
        ----------
        run : Run
            Whose files they are.
        assets : sequence of Asset
            The files.
        within_s : float
            How many seconds it may take.
        given_up : mapping, optional
            What is known not to be had, and not tried.

        Returns
        -------
        list of Kept
            One for each file, in order.

        Raises
        ------
        ExceptionGroup
            Of `tunehook.aws.faults.AWS_FAULTS`, if S3 did not take a file.
        """
        if not assets:
            return []
        slots = asyncio.Semaphore(CONCURRENCY)
        until_s = asyncio.get_running_loop().time() + within_s
        seen = await self._results.below(task_prefix(run.key.provider, run.key.task_id))
        known = given_up or {}

        async def keep_one(asset: Asset) -> Kept:
            if (already := _lying_there(run, asset, seen.values())) is not None:
                return already
            if (missing := known.get((asset.clip_id, asset.type))) is not None:
                return Kept(missing)
            async with slots:
                return await self._keep_one(run, asset, until_s, seen)

        async with asyncio.TaskGroup() as group:
            kept = [group.create_task(keep_one(asset)) for asset in assets]
        return [task.result() for task in kept]

    async def _keep_one(self, run: Run, asset: Asset, until_s: float, seen: dict[str, Stored]) -> Kept:
        problems: list[NotCopied] = []
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
                source_url=asset.urls[0],
                status="unavailable",
                reason="; ".join(reasons),
            ),
            may_come=bool(passing),
            retry_after_s=min((problem.retry_after_s for problem in passing), default=0.0),
        )

    async def _copy(
        self, run: Run, asset: Asset, url: str, until_s: float, links_left: int, seen: dict[str, Stored]
    ) -> Copied:
        if asset.expires_at is not None and asset.expires_at <= from_ms(self._clock()):
            raise NotCopied(EXPIRED, is_final=True)
        now_s = asyncio.get_running_loop().time()
        link_until_s = now_s + (until_s - now_s) / links_left
        download = Download(
            self._http,
            url,
            max_bytes=self._max_asset_bytes,
            until_s=link_until_s,
            silence_s=self._silence_s,
            sleep=self._sleep,
            clock=self._clock,
        )
        try:
            async with asyncio.timeout_at(link_until_s):
                return await self._transfer.copy(run, asset, url, download, seen)
        except TimeoutError:
            raise NotCopied("not copied in time") from None


def _lying_there(run: Run, asset: Asset, found: Collection[Stored]) -> Kept | None:
    """Return a file that this run, or another of the same links, has copied whole; or a later run, whose it is now."""
    start = f"{task_prefix(run.key.provider, run.key.task_id)}{safe_part(asset.clip_id)}/{asset.type}."
    for stored in found:
        if not stored.key.startswith(start) or not stored.is_whole:
            continue
        for url in asset.urls:
            if stored.source == source_in_metadata(url):
                return Kept(_archived(asset, url, stored.copied()))
        if stored.is_later_than(run.run_ms):
            return Kept(_archived(asset, asset.urls[0], stored.copied()))
    return None


def _archived(asset: Asset, url: str, copied: Copied) -> ArchivedAsset:
    return ArchivedAsset(
        clip_id=asset.clip_id,
        type=asset.type,
        source_url=url,
        status="archived",
        key=copied.key,
        content_type=copied.content_type,
        bytes=copied.bytes,
        sha256=copied.sha256,
    )

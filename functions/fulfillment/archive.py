"""Keeps the files of a task: side by side, patiently, and from the second-best link where the best is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aws_lambda_powertools import Logger

from fulfillment.assets import Asset
from fulfillment.keys import asset_key
from fulfillment.transfer import Copied, NotCopied, Transfer
from tunehook.events import ArchivedAsset
from tunehook.tasks import TaskKey

logger = Logger(child=True)

CONCURRENCY: Final = 8
WAITS_S: Final = (0.0, 1.0, 2.0, 4.0)
"""The waits before each try of one link."""

LINK_S: Final = 45.0
"""How long the tries of one link may take together, however the server drips."""

KEEP_S: Final = 90.0
"""How long all of it may take: the function's time, less what telling the receivers needs."""


class Archive:
    """The kept results of tasks.

    Parameters
    ----------
    transfer : Transfer
        Copies one file.
    sleep : callable, optional
        Waits for seconds.
    """

    def __init__(self, transfer: Transfer, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._transfer = transfer
        self._sleep = sleep

    async def keep(self, key: TaskKey, assets: Sequence[Asset]) -> list[ArchivedAsset]:
        """Copy the files of a task.

        Parameters
        ----------
        key : TaskKey
            The task.
        assets : sequence of Asset
            Its files.

        Returns
        -------
        list of ArchivedAsset
            One for each file, in order: where it lies, or why it could not be had.

        Raises
        ------
        ExceptionGroup
            Of `tunehook.aws.faults.AWS_FAULTS`, if S3 did not take a file.
        """
        slots = asyncio.Semaphore(CONCURRENCY)
        until_s = asyncio.get_running_loop().time() + KEEP_S

        async def keep_one(asset: Asset) -> ArchivedAsset:
            async with slots:
                return await self._keep_one(key, asset, until_s)

        async with asyncio.TaskGroup() as group:
            kept = [group.create_task(keep_one(asset)) for asset in assets]
        return [task.result() for task in kept]

    async def _keep_one(self, key: TaskKey, asset: Asset, until_s: float) -> ArchivedAsset:
        reasons: list[str] = []
        for url in asset.urls:
            try:
                async with asyncio.timeout_at(min(until_s, asyncio.get_running_loop().time() + LINK_S)):
                    copied = await self._copy_patiently(key, asset, url)
            except NotCopied as error:
                reasons.append(str(error))
                continue
            except TimeoutError:
                reasons.append("not copied in time")
                continue
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
        logger.warning(
            "asset_unavailable",
            task_id=key.task_id,
            provider=key.provider,
            clip_id=asset.clip_id,
            type=asset.type,
            reasons=reasons,
        )
        return ArchivedAsset(
            clip_id=asset.clip_id,
            type=asset.type,
            source_url=asset.urls[0],
            status="unavailable",
            reason="; ".join(reasons),
        )

    async def _copy_patiently(self, key: TaskKey, asset: Asset, url: str) -> Copied:
        problem = NotCopied("not tried")
        for wait_s in WAITS_S:
            await self._sleep(wait_s)
            try:
                return await self._transfer.copy(
                    url,
                    asset.type,
                    lambda media: asset_key(
                        key.provider, key.task_id, asset.clip_id, asset.type, media.extension
                    ),
                )
            except NotCopied as error:
                if error.is_final:
                    raise
                problem = error
        raise problem

"""The kept files of a task, as a user gets at them: what the manifest says, fresh links, and downloads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tunehook.errors import Unavailable
from tunehook.events import ArchivedAsset
from tunehook.result_keys import manifest_key, task_prefix

LINK_LIFE_S: Final = 3600
"""How long a link lasts, as long as the credentials that signed it."""

_CHUNK_BYTES: Final = 256 * 1024


class KeptFiles:
    """The results bucket.

    Parameters
    ----------
    s3 : S3Client
        A low-level boto3 client.
    bucket : str
        The bucket's name.
    """

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self.bucket = bucket

    def of(self, provider: str, task_id: str) -> list[ArchivedAsset] | None:
        """Return what the manifest of a task names; None if there is no manifest."""
        from botocore.exceptions import ClientError

        from tunehook.aws.faults import code_of

        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=manifest_key(provider, task_id))
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise
        manifest = json.loads(answer["Body"].read())
        return [ArchivedAsset.model_validate(asset) for asset in manifest["assets"]]

    def link(self, key: str) -> str:
        """Return a download link that lasts `LINK_LIFE_S`."""
        location = {"Bucket": self.bucket, "Key": key}
        return str(self._s3.generate_presigned_url("get_object", Params=location, ExpiresIn=LINK_LIFE_S))

    def path_of(self, asset: ArchivedAsset, provider: str, task_id: str, folder: Path) -> Path:
        """Return where in `folder` a file is put: ``<clip>/<name>``, parts that are safe as they are in S3."""
        return folder / str(asset.key).removeprefix(task_prefix(provider, task_id))

    def download(self, asset: ArchivedAsset, path: Path, progress: Callable[[int], None]) -> bool:
        """Download a file and check its SHA-256.

        Parameters
        ----------
        asset : ArchivedAsset
            An archived one.
        path : Path
            Where it goes. Nothing is there before all of it is, and is right.
        progress : callable
            Is told how many further bytes have come.

        Returns
        -------
        bool
            False if it was there already.

        Raises
        ------
        Unavailable
            If what came is not what was kept.
        """
        if path.is_file() and _digest(_read(path)) == asset.sha256:
            progress(asset.bytes or 0)
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        body = self._s3.get_object(Bucket=self.bucket, Key=asset.key)["Body"]
        try:
            with part.open("wb") as file:

                def written() -> Iterator[bytes]:
                    for chunk in body.iter_chunks(_CHUNK_BYTES):
                        file.write(chunk)
                        progress(len(chunk))
                        yield chunk

                digest = _digest(written())
            if digest != asset.sha256:
                raise Unavailable(
                    f"{asset.key} is not what was kept: its SHA-256 is {digest}, not {asset.sha256}"
                )
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return True


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _digest(chunks: Iterator[bytes]) -> str:
    hasher = hashlib.sha256()
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.hexdigest()

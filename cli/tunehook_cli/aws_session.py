"""boto3 sessions whose first client is there soon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import boto3
import botocore.session
from botocore.loaders import Loader, create_loader


class _EveryService(Sequence[str]):
    """Stands for the names of all services: whether the model of one is there shows when it is loaded."""

    def __contains__(self, name: object) -> bool:
        return True

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: Any) -> Any:
        raise IndexError(index)


class _Loader(Loader):  # type: ignore[misc, unused-ignore]
    """Loads the model of one service.

    botocore's own looks through the folders of some 400 services first, twice, to say which ones there are if the name
    is none: that is a third of the time that a client takes.
    """

    def list_available_services(self, type_name: str) -> Any:  # noqa: ARG002 - botocore's signature
        return _EveryService()


def new_session(**settings: Any) -> boto3.Session:
    """Return a session of the process's environment; `settings` are those of `boto3.Session`."""
    session = botocore.session.get_session()
    usual = create_loader(session.get_config_variable("data_path"))
    session.register_component("data_loader", _Loader(extra_search_paths=usual.search_paths))
    return boto3.Session(botocore_session=session, **settings)

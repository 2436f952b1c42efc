"""Outgoing HTTP: where a request may go, the one way that it goes, and how much of an answer is read.

``guard``, ``reply``, ``urls``, ``heads``, ``headers``, ``retry_after`` and ``decompress`` are cheap to import and know
no HTTP library. ``transport`` (over aiohttp's connector) and what it stands on, ``client`` (httpx's interface over it),
and ``exchange`` (a deadline over either) import aiohttp and httpx.
"""

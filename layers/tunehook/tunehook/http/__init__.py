"""Outgoing HTTP: where a request may go, the one way that it goes, and how much of an answer is read.

``guard``, ``reply``, ``urls``, ``response_head``, ``headers``, ``retry_after``, ``tls`` and ``decompress`` are cheap to
import and know no HTTP library. ``transport`` (over aiohttp's connector) and ``client`` (httpx's interface over it)
import aiohttp and httpx.
"""

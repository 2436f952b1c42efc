"""Outgoing HTTP: where a request may go, the clients that go there, and how much of an answer is read.

``guard`` and ``transport`` are cheap to import and know no HTTP library; the clients (``client``, ``direct``) and
what they share (``connections``, ``resolver``, ``errors``), and ``exchange``, import httpx and aiohttp.
"""

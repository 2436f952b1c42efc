"""Outgoing HTTP: where a request may go, the client that goes there, and how much of an answer is read.

``guard`` is cheap to import and knows no HTTP library; ``client``, ``resolver`` and ``exchange`` import
httpx and aiohttp.
"""

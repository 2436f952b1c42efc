"""Senders of webhooks side by side: each driven through its public API, with one receiver that keeps the books.

``python -m benchmarks.senders SENDER`` measures one that runs already; docs/comparison.md says how to start each.
"""

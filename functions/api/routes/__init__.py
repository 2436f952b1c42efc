"""The routes of the HTTP API: each reads its request, calls one operation and answers with its document."""

"""The function behind the HTTP API: routes, callbacks of providers, and the check of keys."""

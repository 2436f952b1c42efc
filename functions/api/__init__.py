"""The function behind the HTTP API: applications with a key, and providers that call back."""

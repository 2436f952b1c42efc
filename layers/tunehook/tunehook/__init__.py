"""What tunehook's functions and its command share: providers, the task model, events, tables, the HTTP clients."""

__version__ = "0.1.0"

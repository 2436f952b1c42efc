"""The `tunehook` command."""

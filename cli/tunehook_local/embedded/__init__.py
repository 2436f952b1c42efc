"""The embedded AWS: MiniStack as a process of this checkout, with the real template built and deployed to it."""

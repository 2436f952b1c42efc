"""The commands: options in, one call, a screen or JSON out."""

"""The `aurora` command, also a kubectl plugin."""

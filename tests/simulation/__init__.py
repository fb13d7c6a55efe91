"""The consensus core under a deterministic simulator: see `__main__` for how to run it."""

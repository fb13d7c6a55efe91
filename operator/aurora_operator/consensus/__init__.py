"""Epochs, promises, quorums and membership as pure functions; no clock and no I/O."""

"""Pausing and stopping a cluster in order, and noticing that nobody uses it."""

"""Voluntary disruptions, at most one at a time: restarts, moves, switchovers."""

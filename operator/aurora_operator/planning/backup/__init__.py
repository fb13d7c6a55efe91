"""Continuous backup and rehearsals of a restore: what is due, and what is said of it."""

"""Duties of a container's first process. Nothing here knows of PostgreSQL clusters."""

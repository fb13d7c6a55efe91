"""Patroni on the kind cluster: a peer to measure beside, with the same PostgreSQL image. Nothing else uses it."""

"""Backups read by us: what can be restored, restoring it, rehearsing that."""

"""Backups taken by us: the archive of a writer, snapshots, copies of them."""

"""Archiving, backups and snapshots on an instance; opening a repository in any pod."""

"""What was put aside before it was replaced: `kept/` on a volume."""

from __future__ import annotations

from pathlib import Path

from aurora_operator.postgres.files import remove_tree
from aurora_operator.postgres.layout import Layout


def prune_kept(layout: Layout, newest: int = 3) -> list[Path]:
    """Remove all but the `newest` directories of kept WAL; returns what was removed. Raises OSError."""
    if not layout.kept.is_dir():
        return []
    found = sorted(layout.kept.glob("[0-9]*-*"), key=lambda path: path.stat().st_mtime)
    old = found[: max(len(found) - newest, 0)]
    for path in old:
        remove_tree(path)
    return old

"""How far a copy is, as the status writes it: EPOCH:LSN."""

from __future__ import annotations

from aurora_operator.api.base.lsn import format_lsn, parse_lsn


def position_text(epoch: int, lsn: int) -> str:
    """A position as people read it: EPOCH:LSN."""
    return f"{epoch}:{format_lsn(lsn)}"


def parse_position(text: str | None) -> tuple[int, int] | None:
    """Epoch and LSN (bytes) of such a text; None for anything else."""
    try:
        epoch, _, lsn = (text or "").partition(":")
        return int(epoch), parse_lsn(lsn)
    except ValueError:
        return None

"""What a copy stands on: its paths, its programs and its addresses. In a pod they are always the same ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.tools import Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """A pod's by default. Several copies on one host, as in tests, have one each."""

    layout: Layout = field(default_factory=Layout)
    tools: Tools = field(default_factory=Tools)
    listen: str | None = None
    """The one address that this copy's servers listen on; every address of a pod if None."""
    os_users: tuple[str, ...] = ("postgres",)
    """Users of the operating system that PostgreSQL lets in as its superuser, by its socket."""

"""A cluster's status for people, as functions of the resource; and how tables are printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH: Final = 10_000
_COLOURS: Final = {
    "Ready": "green",
    "Creating": "cyan",
    "Updating": "cyan",
    "SwitchingOver": "cyan",
    "Degraded": "yellow",
    "FailingOver": "red",
    "Unavailable": "red",
    "Blocked": "red",
}
_GOOD_IS_FALSE: Final = frozenset({"Progressing", "Degraded"})


def show(what: RenderableType) -> None:
    """Print it: to a terminal as wide as that is, else a line for each line, for programs to read."""
    console = Console()
    if console.is_terminal:
        console.print(what)
        return
    wide = Console(width=_PIPED_WIDTH)
    with wide.capture() as printed:
        wide.print(what)
    wide.file.writelines(f"{line.rstrip()}\n" for line in printed.get().splitlines())


def render(cluster: Mapping[str, Any]) -> RenderableType:
    """Everything worth a look: state, endpoints, instances, and the conditions that are not as they should be."""
    status = cluster.get("status") or {}
    parts: list[RenderableType] = [_head(cluster, status)]
    if status.get("members"):
        parts += ["", _members(status["members"])]
    worries = list(_worries(status.get("conditions") or ()))
    if worries:
        parts += ["", *worries]
    return Group(*parts)


def _head(cluster: Mapping[str, Any], status: Mapping[str, Any]) -> Table:
    metadata = cluster["metadata"]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    phase = str(status.get("phase") or "not looked at yet")
    text = Text(phase, style=_COLOURS.get(phase, ""))
    if status.get("message"):
        text.append(f"  {status['message']}", style="default")
    table.add_row("Cluster", f"{metadata['namespace']}/{metadata['name']}")
    table.add_row("Status", text)
    if status.get("writer"):
        table.add_row("Writer", f"{status['writer']} (epoch {status.get('epoch', '?')})")
    if status.get("ready"):
        table.add_row("Instances", f"{status['ready']} serve")
    if status.get("engineVersion"):
        table.add_row("PostgreSQL", str(status["engineVersion"]))
    durability = status.get("durability")
    if durability:
        table.add_row("Durability", _durability(durability))
    endpoints = status.get("endpoints") or {}
    for kind, title in (("writer", "Endpoint"), ("reader", "Readers")):
        if endpoints.get(kind):
            table.add_row(title, f"{endpoints[kind]}:{endpoints.get('port', 5432)}")
    if endpoints.get("secret"):
        table.add_row("Credentials", f"Secret {endpoints['secret']}")
    if metadata.get("generation") != status.get("observedGeneration"):
        table.add_row("", Text("The operator has not seen the latest spec yet.", style="yellow"))
    return table


def _durability(durability: Mapping[str, Any]) -> str:
    zones = [durability["perZone"]] if durability.get("perZone") else durability.get("zones") or ()
    text = f"{durability.get('aliveCopies', 0)} of {durability['copies']} copies alive"
    if zones:
        text += f" in {', '.join(zones)}"
    return f"{text}; a commit waits for {durability['writeQuorum']}, an election for {durability['readQuorum']}"


def _members(members: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("INSTANCE", "ROLE", "READY", "ZONE", "TIER", "PHASE", "LAG", "NOTE"):
        table.add_column(title, overflow="fold")
    for member in members:
        ready = Text("yes", style="green") if member.get("ready") else Text("no", style="red")
        note = member.get("message") or ""
        if member.get("pendingRestart"):
            note = f"{note} restart pending: {', '.join(member['pendingRestart'])}".strip()
        table.add_row(
            member["name"],
            Text(member.get("role", "none"), style="bold" if member.get("role") == "writer" else ""),
            ready,
            member.get("zone") or "-",
            str(member.get("tier", "")),
            member.get("phase") or "-",
            lag(member),
            note,
        )
    return table


def lag(member: Mapping[str, Any]) -> str:
    """How far an instance is behind the writer: bytes and seconds, as far as they are known."""
    size, seconds = member.get("lagBytes"), member.get("lagSeconds")
    parts = []
    if size is not None:
        parts.append(human_bytes(size))
    if seconds is not None:
        parts.append(f"{seconds:.1f} s")
    return ", ".join(parts) or "-"


def human_bytes(size: float) -> str:
    """A size in the unit that suits it: 0 B, 16.0 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _worries(conditions: Iterable[Mapping[str, Any]]) -> Iterable[Text]:
    for condition in conditions:
        good = "False" if condition["type"] in _GOOD_IS_FALSE else "True"
        if condition["status"] == good:
            continue
        text = Text(f"{condition['type']}={condition['status']}", style="yellow")
        text.append(f"  {condition.get('reason', '')}: {condition.get('message', '')}", style="default")
        yield text

"""`aurora exports`: what lies in the destination of backups, and how to be rid of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.table import Table

from aurora_operator.api.agent.exports import ExportEntry
from aurora_operator.api.base.base import to_second
from aurora_operator.cli import inside
from aurora_operator.cli.options import Cluster, Context, Kubeconfig, Namespace, Target, need, run, target
from aurora_operator.cli.render import human_bytes, show
from aurora_operator.cli.transfer import repository_of
from aurora_operator.kube import client
from aurora_operator.kube.observe import get_cluster


def exports(
    cluster: Cluster,
    remove: Annotated[
        str | None, typer.Option("--remove", metavar="NAME", help="Delete this one, for good.", show_default=False)
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the exports in the destination of a cluster's backups, of all clusters that share it; or delete one.

    By hand: kubectl exec WRITER-0 -c postgres -- python3 -m aurora_operator.agent.exports list
    """
    where = target(kubeconfig, context, namespace)
    run(where, lambda api: _exports(api, where, cluster, remove))


async def _exports(api: client.Api, where: Target, cluster: str, remove: str | None) -> None:
    found = need(await get_cluster(api, where.namespace, cluster), cluster, where)
    repository_of(found)
    if remove is not None:
        await inside.exports(where, found, "remove", remove)
        typer.echo(f"export {remove} is removed")
        return
    entries = await inside.exports(where, found, "list")
    if entries:
        show(table(entries))
    else:
        typer.echo("there are none")


def table(entries: Iterable[ExportEntry]) -> Table:
    """For people."""
    made = Table(box=None, pad_edge=False)
    for title in ("NAME", "CLUSTER", "DATABASE", "POSTGRESQL", "TIME", "SIZE", ""):
        made.add_column(title, overflow="fold", justify="right" if title == "SIZE" else "left")
    for entry in entries:
        size = human_bytes(entry.size) if entry.size else ""
        origin = (entry.cluster or "", entry.database or "", entry.engine_version or "")
        made.add_row(entry.name, *origin, to_second(entry.time), size, entry.problem or "")
    return made

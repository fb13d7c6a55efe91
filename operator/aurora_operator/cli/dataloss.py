"""`aurora accept-data-loss`: the one command that gives data up. It says what, and wants that repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from aurora_operator.api.base import names
from aurora_operator.api.status import DataLossStatus
from aurora_operator.cli.options import Cluster, Context, Kubeconfig, Namespace, Target, fail, need, run, target
from aurora_operator.kube import client, write
from aurora_operator.kube.observe import get_cluster


def accept_data_loss(
    cluster: Cluster,
    yes_lose: Annotated[
        str | None,
        typer.Option(
            "--yes-lose",
            metavar="N-bytes@FINGERPRINT",
            help="Accept exactly what was stated, by repeating it.",
            show_default=False,
        ),
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Say what would be lost by going on without the copies that cannot be reached; with --yes-lose, go on.

    Only where a quorum is lost for good. By hand: kubectl annotate auroracluster CLUSTER
    aurorapg.io/accept-data-loss=FINGERPRINT:SURVIVOR,SURVIVOR
    """
    where = target(kubeconfig, context, namespace)
    run(where, lambda api: _accept(api, where, cluster, yes_lose))


async def _accept(api: client.Api, where: Target, cluster: str, yes_lose: str | None) -> None:
    found = need(await get_cluster(api, where.namespace, cluster), cluster, where)
    stated = (found.get("status") or {}).get("dataLoss")
    if stated is None:
        fail(f"{cluster} has a quorum, or the operator cannot tell: there is nothing to accept")
    statement = DataLossStatus.model_validate(stated)
    wanted = confirmation(statement)
    for line in describe(statement, found["status"]):
        typer.echo(line)
    if yes_lose is None:
        typer.echo(f"\nTo give this up for good: aurora accept-data-loss {cluster} --yes-lose {wanted}")
        return
    if yes_lose != wanted:
        fail(f"not accepted: what would be lost is {wanted} now, not {yes_lose}")
    accepted = f"{statement.fingerprint}:{','.join(c.partition('/')[0] for c in statement.survivors)}"
    await write.annotate(api, where.namespace, cluster, {names.ANNOTATION_ACCEPT_DATA_LOSS: accepted})
    typer.echo(f"\naccepted; see: kubectl describe auroracluster {cluster}")


def confirmation(statement: DataLossStatus) -> str:
    """What a person must repeat: how much, and of what."""
    return f"{statement.lost_bytes}-bytes@{statement.fingerprint}"


def describe(statement: DataLossStatus, status: Mapping[str, Any]) -> list[str]:
    """The statement, for people."""
    zones = {member["name"]: member.get("zone") for member in status.get("members") or ()}

    def told(copy: str) -> str:
        name = copy.partition("/")[0]
        where = f" in {zones[name]}" if zones.get(name) else ""
        return f"  {name}{where}, at {statement.positions.get(copy, 'a position that is not known')}"

    return [
        "Survivors, which would go on:",
        *map(told, statement.survivors),
        "Given up, and never taken back (their volumes are kept):",
        *map(told, statement.lost),
        f"Lost: {statement.lost_bytes} bytes of WAL that are known of, and whatever was committed after the lost",
        "copies were last seen. Their positions are known to within 16 MiB.",
    ]

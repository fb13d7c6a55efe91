"""`aurora apply-now`: pending maintenance, without waiting for its window or its turn."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Final

import typer

from aurora_operator.api.base import names
from aurora_operator.api.base.requests import request
from aurora_operator.cli.options import Cluster, Context, Kubeconfig, Namespace, Target, anew, fail, need, run, target
from aurora_operator.kube import client, observe, write

_POLL_SECONDS: Final = 1.0


def apply_now(
    cluster: Cluster,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until it is done; 0: do not wait.")] = 3600.0,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Do pending maintenance now: restarts that an upgrade of the operator asks for.

    By hand: kubectl annotate auroracluster CLUSTER aurorapg.io/apply-now=true
    """
    where = target(kubeconfig, context, namespace)
    run(where, lambda api: _apply_now(api, where, cluster, timeout))


async def _apply_now(api: client.Api, where: Target, cluster: str, seconds: float) -> None:
    found = need(await observe.get_cluster(api, where.namespace, cluster), cluster, where)
    pending = (found.get("status") or {}).get("pendingMaintenance")
    if pending is None:
        typer.echo(f"nothing is pending at {cluster}")
        return
    started = time.monotonic()
    await write.annotate(api, where.namespace, cluster, {names.ANNOTATION_APPLY_NOW: anew("true")})
    while seconds > 0:
        await asyncio.sleep(_POLL_SECONDS)
        found = need(await observe.get_cluster(api, where.namespace, cluster), cluster, where)
        if request(found, names.ANNOTATION_APPLY_NOW) is None:
            typer.echo(f"done after {time.monotonic() - started:.0f} s: {', '.join(pending.get('instances') or ())}")
            return
        if time.monotonic() - started > seconds:
            fail(f"it is under way or waits; see: kubectl describe auroracluster {cluster}")
    typer.echo("asked for")

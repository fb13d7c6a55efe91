"""`aurora backup`: a backup now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import typer

from aurora_operator.api.base import names
from aurora_operator.api.base.conditions import BACKUP_HEALTHY
from aurora_operator.api.base.requests import request
from aurora_operator.cli.options import Cluster, Context, Kubeconfig, Namespace, Target, anew, fail, need, run, target
from aurora_operator.kube import client, observe, write

_POLL_SECONDS: Final = 1.0

Kind = Literal["full", "diff", "incr"]


def backup(
    cluster: Cluster,
    type_: Annotated[
        Kind, typer.Option("--type", help="All; what has changed since the last full one; or since the last one.")
    ] = "full",
    timeout: Annotated[float, typer.Option(help="Seconds to wait until it is complete; 0: do not wait.")] = 86400.0,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Take a backup now.

    By hand: kubectl annotate auroracluster CLUSTER aurorapg.io/backup=full (or diff, incr)
    """
    where = target(kubeconfig, context, namespace)
    run(where, lambda api: _backup(api, where, cluster, type_, timeout))


async def _backup(api: client.Api, where: Target, cluster: str, kind: Kind, seconds: float) -> None:
    found = need(await observe.get_cluster(api, where.namespace, cluster), cluster, where)
    if (found.get("spec") or {}).get("backup") is None:
        fail(f"there is no backup to take: spec.backup of {cluster} is not set")
    if _asked(found) is not None:
        fail(f"a backup has been asked for already, and is under way or waits: {_asked(found)}")
    known = _labels(found)
    started = time.monotonic()
    await write.annotate(api, where.namespace, cluster, {names.ANNOTATION_BACKUP: anew(kind)})
    while seconds > 0:
        await asyncio.sleep(_POLL_SECONDS)
        found = need(await observe.get_cluster(api, where.namespace, cluster), cluster, where)
        done = outcome(found, known)
        if done is not None:
            if done.failed:
                fail(done.text)
            typer.echo(f"{done.text}, after {time.monotonic() - started:.0f} s")
            return
        if time.monotonic() - started > seconds:
            fail(f"the backup is under way or waits; see: kubectl describe auroracluster {cluster}")
    typer.echo("asked for")


@dataclass(frozen=True)
class Outcome:
    """How it has ended."""

    failed: bool
    text: str


def outcome(cluster: Mapping[str, Any], known: frozenset[str]) -> Outcome | None:
    """What came of a request, since when there were the backups `known`; None while it goes on."""
    status = cluster.get("status") or {}
    if _asked(cluster) is not None or (status.get("backup") or {}).get("running"):
        return None
    new = sorted(_labels(cluster) - known)
    if new:
        return Outcome(False, f"backup {new[-1]} is complete")
    failed = (c for c in status.get("conditions") or () if c["type"] == BACKUP_HEALTHY and c["status"] == "False")
    return next((Outcome(True, f"the backup failed: {c['message']}") for c in failed), None)


def _asked(cluster: Mapping[str, Any]) -> str | None:
    return request(cluster, names.ANNOTATION_BACKUP)


def _labels(cluster: Mapping[str, Any]) -> frozenset[str]:
    backups = ((cluster.get("status") or {}).get("backup") or {}).get("backups") or ()
    return frozenset(backup["label"] for backup in backups)

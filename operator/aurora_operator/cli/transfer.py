"""`aurora export` and `aurora import`: a Job that dumps a database to a volume, or fills one from it."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any, Final, Literal

import typer

from aurora_operator.api import names
from aurora_operator.cli.options import Cluster, Context, Kubeconfig, Namespace, Target, fail, need, run, target
from aurora_operator.kube import client, observe
from aurora_operator.kube.resources import CHILDREN, Resource
from aurora_operator.planning.objects.job import ended
from aurora_operator.planning.objects.transfer import build_transfer

JOB: Final = Resource("batch/v1", "Job", "jobs")
_POLL_SECONDS: Final = 1.0

Database = Annotated[
    str | None, typer.Option("--database", "-d", help="The database. [default: the cluster's own]", show_default=False)
]
Claim = Annotated[str, typer.Option("--claim", help="The PersistentVolumeClaim that holds the export.")]
Path = Annotated[str, typer.Option("--path", help="The export's folder on that volume.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, max=32, help="Tables at a time.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")]


def export_(
    cluster: Cluster,
    claim: Claim,
    path: Path,
    database: Database = None,
    jobs: Jobs = 2,
    wait: Wait = True,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Dump a database to a volume, by a reader (pg_dump, directory format).

    By hand: a Job as this makes it, kubectl get job -o yaml
    """
    where = target(kubeconfig, context, namespace)
    run(where, lambda api: _transfer(api, where, "export", cluster, claim, path, database, jobs, wait))


def import_(
    cluster: Cluster,
    claim: Claim,
    path: Path,
    database: Database = None,
    jobs: Jobs = 2,
    wait: Wait = True,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Fill an empty database, made if there is none, from an export on a volume.

    By hand: a Job as this makes it, kubectl get job -o yaml
    """
    where = target(kubeconfig, context, namespace)
    run(where, lambda api: _transfer(api, where, "import", cluster, claim, path, database, jobs, wait))


async def _transfer(
    api: client.Api,
    where: Target,
    verb: Literal["export", "import"],
    cluster: str,
    claim: str,
    path: str,
    database: str | None,
    jobs: int,
    wait: bool,
) -> None:
    found = need(await observe.get_cluster(api, where.namespace, cluster), cluster, where)
    wanted = database or (found.get("spec") or {}).get("databaseName") or "app"
    if await observe.get(api, CHILDREN["PersistentVolumeClaim"], where.namespace, claim) is None:
        fail(f"there is no PersistentVolumeClaim {claim} in namespace {where.namespace}")
    name = f"{cluster[:40]}-{verb}-{secrets.token_hex(3)}"
    image, host = await _image(api, where.namespace, cluster), _host(verb, found)
    job = build_transfer(
        verb, name, cluster=cluster, namespace=where.namespace, image=image, host=host,
        database=wanted, claim=claim, path=path, jobs=jobs,
    )  # fmt: skip
    await api.request("POST", JOB.path(where.namespace), body=job)
    typer.echo(f"job/{name}; watch it with: {' '.join(where.kubectl())} logs -f job/{name}")
    while wait:
        await asyncio.sleep(_POLL_SECONDS)
        state = _state(await observe.get(api, JOB, where.namespace, name))
        if state == "Complete":
            typer.echo(f"{verb} of {wanted} is complete")
            return
        if state is not None:
            fail(f"{verb} of {wanted} failed; see: kubectl logs job/{name}")


def _host(verb: Literal["export", "import"], cluster: Any) -> str:
    """Whom to connect to: one reader for an export, so that all its workers see the same moment; else the writer."""
    metadata = cluster["metadata"]
    members = (cluster.get("status") or {}).get("members") or ()
    readers = sorted(m["name"] for m in members if m.get("role") == "reader" and m.get("ready"))
    if verb == "export" and readers:
        return names.pod_host(metadata["name"], metadata["namespace"], readers[-1])
    return f"{names.writer_service(metadata['name'])}.{metadata['namespace']}.svc"


async def _image(api: client.Api, namespace: str, cluster: str) -> str:
    """What the cluster's own instances run."""
    selector = f"{names.LABEL_CLUSTER}={cluster}"
    found = await observe.list_objects(api, CHILDREN["StatefulSet"], namespace, selector)
    if not found:
        fail(f"{cluster} has no instances yet")
    image: str = found[0]["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def _state(job: Any) -> str | None:
    """`Complete`, `Failed`, or None while it runs."""
    if job is None:
        return "Failed"
    end = ended(job)
    return None if end is None else str(end["type"])

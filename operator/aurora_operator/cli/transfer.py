"""`aurora export` and `aurora import`: a Job that dumps a database to the destination of backups or a volume, or fills
one from there."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from aurora_operator.api.agent.exports import NAME, NAME_RULE
from aurora_operator.api.base import names
from aurora_operator.api.base.database import refusal
from aurora_operator.api.base.quantity import parse_quantity
from aurora_operator.api.spec.backup import Backup
from aurora_operator.api.spec.repository import Repository
from aurora_operator.cli import inside
from aurora_operator.cli.options import Cluster, Context, Kubeconfig, Namespace, Target, fail, need, run, target
from aurora_operator.kube import client, observe
from aurora_operator.kube.errors import KubeError
from aurora_operator.kube.resources import CHILDREN, Resource
from aurora_operator.planning.objects.job import LABEL_JOB, ended
from aurora_operator.planning.objects.snapshotjob import complaint
from aurora_operator.planning.objects.transfer import (
    KEPT_AFTER_SUCCESS_SECONDS,
    InDestination,
    OnClaim,
    Verb,
    build_transfer,
    scratch_size,
)

JOB: Final = Resource("batch/v1", "Job", "jobs")
_POLL_SECONDS: Final = 1.0

Database = Annotated[
    str | None, typer.Option("--database", "-d", help="The database. [default: the cluster's own]", show_default=False)
]
Scratch = Annotated[
    str | None,
    typer.Option(
        "--scratch", help="Size of the volume that it passes through. [default: as it needs]", show_default=False
    ),
]
Claim = Annotated[
    str | None,
    typer.Option("--claim", help="A PersistentVolumeClaim, instead of the destination.", show_default=False),
]
Path = Annotated[
    str | None, typer.Option("--path", help="With --claim: the export's folder on that volume.", show_default=False)
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, max=32, help="Tables at a time.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")]


@dataclass(frozen=True)
class Wanted:
    """What the user has asked for."""

    verb: Verb
    cluster: str
    name: str | None
    scratch: str | None
    claim: str | None
    path: str | None
    database: str | None
    jobs: int
    wait: bool
    other_locale: bool = False


def export_(
    cluster: Cluster,
    name: Annotated[
        str | None, typer.Option("--name", help="Of the export. [default: DATABASE-TIME]", show_default=False)
    ] = None,
    database: Database = None,
    scratch: Scratch = None,
    claim: Claim = None,
    path: Path = None,
    jobs: Jobs = 2,
    wait: Wait = True,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Dump a database to the destination of backups, or a volume, by a reader (pg_dump, directory format).

    By hand: a Job as this makes it, kubectl get job -o yaml
    """
    where = target(kubeconfig, context, namespace)
    wanted = Wanted("export", cluster, name, scratch, claim, path, database, jobs, wait)
    run(where, lambda api: _transfer(api, where, wanted))


def import_(
    cluster: Cluster,
    name: Annotated[
        str | None, typer.Option("--name", help="Of the export: see aurora exports.", show_default=False)
    ] = None,
    database: Database = None,
    scratch: Scratch = None,
    claim: Claim = None,
    path: Path = None,
    jobs: Jobs = 2,
    other_locale: Annotated[
        bool, typer.Option("--other-locale", help="Take a database, or the server's default, that sorts otherwise.")
    ] = False,
    wait: Wait = True,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Fill an empty database, made if there is none, from an export in the destination of backups, or on a volume.

    By hand: a Job as this makes it, kubectl get job -o yaml
    """
    where = target(kubeconfig, context, namespace)
    wanted = Wanted("import", cluster, name, scratch, claim, path, database, jobs, wait, other_locale)
    run(where, lambda api: _transfer(api, where, wanted))


async def _transfer(api: client.Api, where: Target, wanted: Wanted) -> None:
    verb, name = wanted.verb, wanted.cluster
    found = need(await observe.get_cluster(api, where.namespace, name), name, where)
    own = (found.get("spec") or {}).get("databaseName") or "app"
    database = own if wanted.database is None else wanted.database
    if why := refusal(database):
        fail(why)
    place: OnClaim | InDestination
    if wanted.claim is not None:
        place = await _on_claim(api, where, wanted, wanted.claim)
    else:
        place = await _in_destination(where, wanted, found, database)
    pod = await _pod(api, where.namespace, name)
    job_name = f"{name[:40]}-{verb}-{secrets.token_hex(3)}"
    job = build_transfer(
        verb, job_name, cluster=name, namespace=where.namespace, image=pod["containers"][0]["image"],
        pull_secrets=pod.get("imagePullSecrets") or (), hosts=_hosts(verb, found), database=database, place=place,
        jobs=wanted.jobs, other_locale=wanted.other_locale,
        secret=((found.get("status") or {}).get("endpoints") or {}).get("secret"),
    )  # fmt: skip
    await api.request("POST", JOB.path(where.namespace), body=job)
    typer.echo(f"job/{job_name}; watch it with: {' '.join(where.kubectl())} logs -f job/{job_name}")
    what = f"{verb} of {database}"
    as_what = f" as {place.name}" if isinstance(place, InDestination) and verb == "export" else ""
    while wanted.wait:
        await asyncio.sleep(_POLL_SECONDS)
        state = _state(await observe.get(api, JOB, where.namespace, job_name))
        if state == "Complete":
            typer.echo(f"{what} is complete{as_what}")
            for remark in remarks(await _pods(api, where, job_name)):
                typer.echo(f"  {remark}")
            if isinstance(place, InDestination):
                await _give_back(api, where, job_name)
            return
        if state is not None:
            fail(await _why(api, where, job, what) or f"{what} failed; see: kubectl logs job/{job_name}")
    if as_what:
        typer.echo(f"{what} goes on{as_what}")


async def _give_back(api: client.Api, where: Target, job_name: str) -> None:
    """Let a complete Job go soon, and its volume with it. Where that is not allowed, it goes later by itself."""
    patch = {"spec": {"ttlSecondsAfterFinished": KEPT_AFTER_SUCCESS_SECONDS}}
    with contextlib.suppress(KubeError):
        await api.request("PATCH", JOB.path(where.namespace, job_name), body=patch, content_type=client.MERGE)


async def _on_claim(api: client.Api, where: Target, wanted: Wanted, claim: str) -> OnClaim:
    if wanted.name is not None or wanted.scratch is not None:
        fail("--claim goes with --path; --name and --scratch are for exports in the destination of backups")
    if wanted.path is None:
        fail("--claim needs --path, the export's folder on that volume")
    if await observe.get(api, CHILDREN["PersistentVolumeClaim"], where.namespace, claim) is None:
        fail(f"there is no PersistentVolumeClaim {claim} in namespace {where.namespace}")
    return OnClaim(claim, wanted.path)


async def _in_destination(where: Target, wanted: Wanted, cluster: Any, database: str) -> InDestination:
    if wanted.path is not None:
        fail("--path is a folder on a volume, and needs --claim; in the destination of backups, exports have a --name")
    if wanted.name is None and wanted.verb == "import":
        fail(f"which export? Give its --name; see: aurora exports {wanted.cluster}")
    name = wanted.name or default_name(database, datetime.now(UTC))
    if NAME.fullmatch(name) is None:
        fail(f"{name!r} cannot be its name: {NAME_RULE}")
    repository = repository_of(cluster)
    if wanted.scratch is not None:
        try:
            parse_quantity(wanted.scratch)
        except ValueError as error:
            fail(f"--scratch: {error}")
    scratch = wanted.scratch or scratch_size(await _size(where, wanted.verb, cluster, name, database))
    return InDestination(name, repository, scratch, (cluster["spec"].get("storage") or {}).get("storageClassName"))


async def _size(where: Target, verb: Verb, cluster: Any, name: str, database: str) -> int:
    """Of the database, or of the export, which is there and complete. What cannot begin ends here."""
    entries = await inside.exports(where, cluster, "list", name)
    if verb == "export":
        if entries:
            fail(f"export {name} exists: an export never overwrites another one; choose another name")
        return await inside.database_size(where, cluster, database)
    if not entries:
        fail(f"there is no export {name}; see: aurora exports {cluster['metadata']['name']}")
    if not entries[0].complete:
        fail(f"export {name} cannot be imported: {entries[0].problem}")
    return entries[0].size


def default_name(database: str, now: datetime) -> str:
    """What an export is called if the user does not say it."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", database, flags=re.ASCII).lstrip("._-")[:63]
    return f"{plain or 'database'}-{now:%Y%m%dT%H%M%SZ}"


def repository_of(cluster: Any) -> Repository:
    """The destination of a cluster's backups; the end of the program if it has none."""
    metadata, spec = cluster["metadata"], cluster.get("spec") or {}
    if spec.get("backup") is None:
        fail(f"{metadata['name']} has no spec.backup, and so no destination: set it, or name a volume by --claim")
    try:
        backup = Backup.model_validate(spec["backup"])
    except ValidationError as error:
        fail(f"spec.backup of {metadata['name']} is not understood: {error}")
    return backup.repository_of(metadata["name"], metadata["namespace"], metadata["uid"])


def _hosts(verb: Verb, cluster: Any) -> list[str]:
    """Whom to connect to: for an export a reader, one so that all its workers see the same moment, and others if that
    one goes; at last the writer."""
    metadata = cluster["metadata"]
    members = (cluster.get("status") or {}).get("members") or ()
    readers = sorted((m["name"] for m in members if m.get("role") == "reader" and m.get("ready")), reverse=True)
    chosen = [names.pod_host(metadata["name"], metadata["namespace"], reader) for reader in readers]
    writer = f"{names.writer_service(metadata['name'])}.{metadata['namespace']}.svc"
    return [*(chosen if verb == "export" else ()), writer]


async def _pod(api: client.Api, namespace: str, cluster: str) -> Any:
    """What the cluster's own instances run."""
    selector = f"{names.LABEL_CLUSTER}={cluster}"
    found = await observe.list_objects(api, CHILDREN["StatefulSet"], namespace, selector)
    if not found:
        fail(f"{cluster} has no instances yet")
    return found[0]["spec"]["template"]["spec"]


async def _why(api: client.Api, where: Target, job: Any, what: str) -> str | None:
    """What a failed Job has said of it."""
    said = complaint(job, await _pods(api, where, job["metadata"]["name"]))
    return why(said, what) if said else None


async def _pods(api: client.Api, where: Target, job_name: str) -> list[Any]:
    return await observe.list_objects(api, CHILDREN["Pod"], where.namespace, f"{LABEL_JOB}={job_name}")


def remarks(pods: Iterable[Any]) -> list[str]:
    """What one that is complete has to say, a line for each."""
    statuses = [status for pod in pods for status in (pod.get("status") or {}).get("containerStatuses") or ()]
    ended = [(status.get("state") or {}).get("terminated") or {} for status in statuses]
    return [line for end in ended if end.get("exitCode") == 0 for line in (end.get("message") or "").splitlines()]


def why(said: str, what: str) -> str:
    """The error, which may be a list, without a log's lines that come before it; else the last line."""
    _, begun, rest = said.rpartition(f"{what} failed: ")
    return f"{begun}{rest}" if begun else said.splitlines()[-1]


def _state(job: Any) -> str | None:
    """`Complete`, `Failed`, or None while it runs."""
    if job is None:
        return "Failed"
    end = ended(job)
    return None if end is None else str(end["type"])

"""`aurora`, also `kubectl aurora`: each verb is a change to a resource that anyone could make by hand."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from aurora_operator.api.base import names
from aurora_operator.api.base.requests import request
from aurora_operator.cli import backup, dataloss, exports, inside, maintenance, transfer
from aurora_operator.cli.options import Cluster, Context, Kubeconfig, Namespace, Target, anew, fail, need, run, target
from aurora_operator.cli.render import render, show
from aurora_operator.kube import client, observe, write
from aurora_operator.kube.observe import get_cluster

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Look at and steer AuroraClusters.", rich_markup_mode=None
)

app.command("export")(transfer.export_)
app.command("import")(transfer.import_)
app.command()(exports.exports)
app.command()(backup.backup)
app.command("apply-now")(maintenance.apply_now)
app.command("accept-data-loss")(dataloss.accept_data_loss)

_POLL_SECONDS: Final = 0.5


@app.command()
def status(
    cluster: Cluster, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None
) -> None:
    """Show a cluster: its state, endpoints, instances and what is wrong with it.

    By hand: kubectl get auroracluster CLUSTER -o yaml
    """
    where = target(kubeconfig, context, namespace)
    found = need(run(where, lambda api: get_cluster(api, where.namespace, cluster)), cluster, where)
    show(render(found))


@app.command()
def switchover(
    cluster: Cluster,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="INSTANCE", help="The next writer. [default: the best]", show_default=False),
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait until there is another writer; 0: do not wait.")
    ] = 60.0,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let another instance become the writer. No transaction is lost.

    By hand: kubectl annotate auroracluster CLUSTER aurorapg.io/switchover=any (or an instance's name)
    """
    where = target(kubeconfig, context, namespace)
    run(where, lambda api: _switchover(api, where, cluster, to, timeout))


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def psql(
    cluster: Cluster,
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[-- PSQL-OPTIONS]", help="Passed to psql.", show_default=False)
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option("--instance", metavar="INSTANCE", help="Connect there. [default: the writer]", show_default=False),
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Open psql in the writer's pod, as PostgreSQL's superuser.

    By hand: kubectl exec -it WRITER-0 -c postgres -- psql -h /run/postgresql -U postgres
    """
    where = target(kubeconfig, context, namespace)
    found = need(run(where, lambda api: get_cluster(api, where.namespace, cluster)), cluster, where)
    words = psql_command(where, found, instance, list(more or ()), tty=sys.stdin.isatty() and sys.stdout.isatty())
    try:
        os.execvp(words[0], words)  # noqa: S606 (a list of arguments, no shell)
    except OSError as error:
        fail(f"cannot start kubectl: {error}")


def psql_command(
    where: Target, cluster: dict[str, Any], instance: str | None, more: list[str], *, tty: bool
) -> list[str]:
    """The kubectl command line that runs psql in an instance, by default the writer."""
    database = (cluster.get("spec") or {}).get("databaseName") or "app"
    return [*inside.command(where, cluster, instance, *(["--tty"] if tty else [])), *inside.psql(database), *more]


async def _switchover(api: client.Api, where: Target, cluster: str, to: str | None, seconds: float) -> None:
    found = need(await observe.get_cluster(api, where.namespace, cluster), cluster, where)
    status = found.get("status") or {}
    before = status.get("writer")
    known = [member["name"] for member in status.get("members") or ()]
    if to is not None and to not in known:
        fail(f"{cluster} has no instance {to}; it has {', '.join(known) or 'none yet'}")
    if to is not None and to == before:
        typer.echo(f"{to} is the writer already")
        return
    started = time.monotonic()
    await write.annotate(api, where.namespace, cluster, {names.ANNOTATION_SWITCHOVER: anew(to or "any")})
    while seconds > 0:
        await asyncio.sleep(_POLL_SECONDS)
        found = need(await observe.get_cluster(api, where.namespace, cluster), cluster, where)
        writer = (found.get("status") or {}).get("writer")
        asked = request(found, names.ANNOTATION_SWITCHOVER) is not None
        if writer and writer != before:
            typer.echo(f"{writer} is the writer now, after {time.monotonic() - started:.1f} s")
            return
        if time.monotonic() - started > seconds:
            state = "was asked for, and is under way or waits" if asked else "was not carried out"
            fail(f"the switchover {state}; see: kubectl describe auroracluster {cluster}")
    typer.echo("asked for")


def main() -> None:
    """Entry point; called `kubectl aurora` in its help when kubectl runs it as its plugin."""
    plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    app(prog_name="kubectl aurora" if plugin else "aurora")


if __name__ == "__main__":
    main()

"""The demo: `python -m tests.kind.demo`, after `up`. The operator, a cluster in three zones, a row written and read,
and continuous backup to an S3 server of its own.

Run again, it picks up where things are.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from tests.e2e import objectstore
from tests.kind import chart, tools
from tests.kind.cache import REPO
from tests.kind.context import KUBE_CONTEXT, kubectl
from tests.kind.shell import CommandFailed, HarnessError, elapsed, say, step

NAMESPACE = "default"
CLUSTER = "demo"
MANIFEST = REPO / "examples" / "demo.yaml"
READY_TIMEOUT = 300.0  # seconds
_ANSWER_TIMEOUT = 30.0  # seconds for a statement through an endpoint, while a failover may be under way

_WRITE = """
CREATE TABLE IF NOT EXISTS visits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz DEFAULT now());
INSERT INTO visits DEFAULT VALUES RETURNING id;
"""


def main() -> int:
    """Show it all; return the exit code."""
    started = time.monotonic()
    had_kubectl = shutil.which("kubectl") is not None
    try:
        chart.install()
        with step("an S3 server for its backups"):
            objectstore.start(NAMESPACE)
        with step(f"create AuroraCluster {CLUSTER} and wait until it is Ready"):
            kubectl("--namespace", NAMESPACE, "apply", "--filename", str(MANIFEST))
            writer = _wait_until_ready()
        with step(f"write a row through {CLUSTER} and read it through {CLUSTER}-ro"):
            what = _write_and_read(writer)
        with step("wait until its first backup is complete"):
            first, last = _wait_until_backed_up()
    except (HarnessError, AssertionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run it again to go on", file=sys.stderr)
        return 130
    print()
    print(kubectl("--namespace", NAMESPACE, "get", "auroraclusters", CLUSTER))
    columns = "aurorapg.io/role,topology.kubernetes.io/zone"
    belongs = f"aurorapg.io/cluster={CLUSTER}"
    print(kubectl("--namespace", NAMESPACE, "get", "pods", "--selector", belongs, "--label-columns", columns))
    print(kubectl("--namespace", NAMESPACE, "get", "services", "--selector", belongs))
    print(f"{what}\nIt can be restored to any second from {first} to {last}, and that goes on.")
    print(f"All of it took {elapsed(started)}. What to type next:\n")
    print("\n".join(_next(writer, had_kubectl)))
    return 0


def _wait_until_ready() -> str:
    """Show how far the cluster is until it is Ready; return its writer's name."""
    started = last_said = time.monotonic()
    said = ""
    while True:
        cluster = _get()
        status = cluster.get("status") or {}
        line = describe(status)
        if line != said or time.monotonic() - last_said > 10:
            say(f"{elapsed(started):>8}  {line}")
            said, last_said = line, time.monotonic()
        if is_ready(cluster):
            return str(status["writer"])
        if time.monotonic() - started > READY_TIMEOUT:
            raise HarnessError(
                f"the cluster is not Ready after {READY_TIMEOUT:.0f} s: {status.get('message') or line}\n"
                f"see: kubectl --context {KUBE_CONTEXT} --namespace {NAMESPACE} describe auroracluster {CLUSTER}"
            )
        time.sleep(1)


def _wait_until_backed_up() -> tuple[str, str]:
    """From when and until when it can be restored."""
    started = last_said = time.monotonic()
    while True:
        status = _get().get("status") or {}
        backup = status.get("backup") or {}
        if backup.get("earliestRestorableTime") and backup.get("latestRestorableTime"):
            return str(backup["earliestRestorableTime"]), str(backup["latestRestorableTime"])
        conditions: list[Mapping[str, Any]] = status.get("conditions") or []
        said = next((str(c["message"]) for c in conditions if c["type"] == "BackupHealthy"), "not begun yet")
        if time.monotonic() - started > READY_TIMEOUT:
            raise HarnessError(f"there is no backup after {READY_TIMEOUT:.0f} s: {said}")
        if time.monotonic() - last_said > 10:
            say(f"{elapsed(started):>8}  {backup.get('running') or said}")
            last_said = time.monotonic()
        time.sleep(1)


def is_ready(cluster: Mapping[str, Any]) -> bool:
    """Whether the operator says so about the spec as it is now."""
    conditions = (cluster.get("status") or {}).get("conditions") or ()
    ready: Mapping[str, Any] = next((c for c in conditions if c["type"] == "Ready"), {})
    return ready.get("status") == "True" and ready.get("observedGeneration") == cluster["metadata"]["generation"]


def describe(status: Mapping[str, Any]) -> str:
    """The phase, how many instances serve, and what each one does."""
    members = ", ".join(f"{m['name']} {m.get('phase') or 'starting'}" for m in status.get("members") or ())
    return f"{status.get('phase') or 'not looked at yet'}, {status.get('ready') or '0'} ready" + (
        f": {members}" if members else ""
    )


def _write_and_read(writer: str) -> str:
    """A row through one endpoint, the same row through the other; a sentence that says who answered."""
    row, wrote = _sql(writer, CLUSTER, _WRITE).split()[-1], _server(writer, CLUSTER)
    started = time.monotonic()
    while _sql(writer, f"{CLUSTER}-ro", f"SELECT id FROM visits WHERE id = {int(row)}") != row:
        if time.monotonic() - started > _ANSWER_TIMEOUT:
            raise HarnessError(f"row {row} does not appear through {CLUSTER}-ro")
        time.sleep(0.1)
    read = _server(writer, f"{CLUSTER}-ro")
    return f"Row {row} was written through `{CLUSTER}` ({wrote}), and read through `{CLUSTER}-ro` ({read})."


def _server(writer: str, host: str) -> str:
    """Which instance answers behind a host, and as what."""
    answer = _sql(writer, host, "SELECT host(inet_server_addr()), pg_is_in_recovery()")
    address, reader = answer.split("|")
    belongs = f"aurorapg.io/cluster={CLUSTER}"
    pods = json.loads(kubectl("--namespace", NAMESPACE, "get", "pods", "--selector", belongs, "--output", "json"))
    name = next((p["metadata"]["name"] for p in pods["items"] if p["status"].get("podIP") == address), address)
    return f"{'reader' if reader == 't' else 'writer'} {name}"


def _sql(pod: str, host: str, statement: str) -> str:
    """Run SQL as an application would: over the Service, with TLS, as the user in the connection Secret.

    The client is the psql in one of the pods; the password stays inside it.
    """
    script = (
        'PGPASSWORD=$(cat /etc/aurora/app/password) exec psql -XqAt -v ON_ERROR_STOP=1 "host=$0.$1.svc dbname=app '
        "user=$(cat /etc/aurora/app/username) sslmode=verify-full sslrootcert=/etc/aurora/tls/ca.crt "
        'connect_timeout=5" -c "$2"'
    )
    command = ["exec", f"{pod}-0", "--container", "postgres", "--", "sh", "-c", script, host, NAMESPACE, statement]
    started = time.monotonic()
    while True:
        try:
            return kubectl("--namespace", NAMESPACE, *command, timeout=20).strip()
        except (CommandFailed, subprocess.TimeoutExpired) as error:
            if time.monotonic() - started > _ANSWER_TIMEOUT:
                raise HarnessError(f"no answer through {host}: {error}") from error
            time.sleep(0.5)


def _get() -> dict[str, Any]:
    found = kubectl("--namespace", NAMESPACE, "get", "auroraclusters", CLUSTER, "--output", "json")
    return dict(json.loads(found))


def _next(writer: str, had_kubectl: bool) -> list[str]:
    """What a person types next; first of all the tools, if they are only in the harness's own folder."""
    lines = [
        f"  kubectl --context {KUBE_CONTEXT} delete pod {writer}-0 --force    # kill the writer: writing goes on",
        f"  kubectl --context {KUBE_CONTEXT} get auroraclusters {CLUSTER} --watch    # see who takes over",
        f"  kubectl --context {KUBE_CONTEXT} apply -f examples/restore.yaml    # a new cluster from its backups",
        "  make down    # remove it all",
    ]
    if not had_kubectl:
        lines.insert(0, f"  export PATH={tools.folder()}:$PATH    # for kubectl")
    return lines


if __name__ == "__main__":
    sys.exit(main())

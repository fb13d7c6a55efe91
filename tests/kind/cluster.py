"""The kind cluster itself: made when it is not there, made anew when it does not answer."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

from tests.kind import nodeimage, tools
from tests.kind.cache import REPO
from tests.kind.context import CLUSTER, KUBE_CONTEXT, MARKER, Context, apply, kubectl, require_own_context
from tests.kind.docker import docker, running_containers
from tests.kind.shell import CommandFailed, HarnessError, elapsed, output, run, say, step, wait_until
from tests.kind.system import allow_file_watches

CONFIG = REPO / "kind-config.yaml"
# On cgroup v2, and on v1.
_CPU_USED = "cd /sys/fs/cgroup; cat cpu.stat cpuacct/cpuacct.usage 2>/dev/null || true"


def ensure(context: Context) -> None:
    """Return once our cluster is there, answers, and all its nodes are Ready."""
    tools.use("kind", "kubectl")
    allow_file_watches()
    nodes = context.nodes()
    if nodes:
        if _revive(context):
            return
        delete()
    _create(context)
    _mark()


def delete() -> None:
    """Delete the cluster, if there is one."""
    tools.use("kind")
    with step("delete the kind cluster"):
        run(["kind", "delete", "cluster", "--name", CLUSTER])


def answers() -> bool:
    """Whether the API server behind our context says that it is ready."""
    try:
        return kubectl("get", "--raw", "/readyz", "--request-timeout=5s", timeout=15).strip() == "ok"
    except (CommandFailed, TimeoutError, OSError):
        return False


def _revive(context: Context) -> bool:
    """Bring a cluster that exists back into use; False when it has to be made anew."""
    try:
        patience = 90 if _wake(context) else 20
        output(["kind", "export", "kubeconfig", "--name", CLUSTER])
        started = time.monotonic()
        while not answers():
            if time.monotonic() - started > patience:
                raise HarnessError(f"the cluster does not answer after {elapsed(started)}")
            time.sleep(1)
        require_own_context()  # the marker is written last: without it an earlier `up` was interrupted
        _wait_ready(120)
    except HarnessError as error:
        say(f"{error}: make it anew")
        return False
    return True


def _wake(context: Context) -> bool:
    """Start nodes that are stopped and let frozen ones run; return whether there were any."""
    nodes = set(context.nodes())
    stopped = sorted(nodes - set(running_containers()))
    if stopped:
        with step(f"start the nodes that are stopped: {', '.join(stopped)}"):
            docker("start", *stopped)
    frozen = sorted(nodes & set(docker("ps", "--filter", "status=paused", "--format", "{{.Names}}").split()))
    if frozen:
        with step(f"let nodes run that are frozen (by a test that was interrupted?): {', '.join(frozen)}"):
            docker("unpause", *frozen)
    return bool(stopped or frozen)


def _create(context: Context) -> None:
    image = nodeimage.ensure(registry=context.registry)
    with step(f"create the kind cluster from {image}"):
        arguments = ["--name", CLUSTER, "--image", image, "--config", str(CONFIG), "--wait", "180s"]
        run(["kind", "create", "cluster", *arguments], env={"KIND_EXPERIMENTAL_PROVIDER": "docker"})
        _wait_ready(180)
        wait_until(
            "CoreDNS runs",
            ["kubectl", "--context", KUBE_CONTEXT, "--namespace", "kube-system", "rollout", "status",
             "deployment/coredns", "--timeout=10s"],
            timeout=180,
        )  # fmt: skip


def _wait_ready(timeout: float) -> None:
    """Wait until every node is Ready."""
    wait = ["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=10s"]
    wait_until("all nodes are Ready", ["kubectl", "--context", KUBE_CONTEXT, *wait], timeout=timeout)


def _mark() -> None:
    """Say in the cluster that it is ours: only then do the tests touch it."""
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": MARKER, "namespace": "kube-system"},
        "data": {"made-by": "python -m tests.kind up"},
    }
    apply(json.dumps(document))


def idle_share(seconds: float = 20) -> dict[str, float]:
    """Which share of one CPU each node has used over some seconds."""

    def used(node: str) -> float:
        text = docker(
            "exec", node, "sh", "-c", "cd /sys/fs/cgroup; cat cpu.stat cpuacct/cpuacct.usage 2>/dev/null || true"
        )
        for line in text.splitlines():
            if line.startswith("usage_usec"):
                return int(line.split()[1]) / 1e6
            if line.isdigit():
                return int(line) / 1e9
        raise HarnessError(f"{node} does not say how much CPU time it used")

    nodes = Context(registry=False).nodes()
    with ThreadPoolExecutor(len(nodes) or 1) as pool:
        before = list(pool.map(used, nodes))
        time.sleep(seconds)
        after = list(pool.map(used, nodes))
    return {node: (b - a) / seconds for node, a, b in zip(nodes, before, after, strict=True)}

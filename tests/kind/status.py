"""The verbs that only look."""

from __future__ import annotations

import shlex

from tests.kind import cache, cluster, docker, project, tools
from tests.kind.context import CLUSTER, KUBE_CONTEXT, Context, kubectl, require_own_context
from tests.kind.images import loaded_digest
from tests.kind.shell import HarnessError, output


def status() -> int:
    """Print what is there; return 0 when the cluster can be used."""
    if not docker.engine_answers():
        print("Docker engine   does not answer")
        return 1
    print("Docker engine   answers")
    nodes = Context(registry=False).nodes()
    if not nodes:
        print("cluster         none (`python -m tests.kind up` makes one)")
        return 1
    tools.use("kubectl")
    if not cluster.answers():
        print(f"cluster         {len(nodes)} nodes that do not answer (`python -m tests.kind up` repairs it)")
        return 1
    try:
        require_own_context()
        print(f"cluster         {KUBE_CONTEXT} answers")
    except HarnessError as error:
        print(f"cluster         {error}")
        return 1
    print(_indented(kubectl("get", "nodes", "--label-columns", "topology.kubernetes.io/zone")))
    print(_indented(kubectl("get", "storageclass,volumesnapshotclass")))
    for image in project.IMAGES:
        where = [node for node in Context(registry=False).workers() if loaded_digest(node, image.tag)]
        print(f"{image.tag:<22}  on {', '.join(where) or 'no worker'}")
    return 0


def cpu(seconds: float) -> int:
    """Print how much CPU time the nodes use."""
    shares = cluster.idle_share(seconds)
    for node, share in shares.items():
        print(f"{node:<24} {share:6.1%} of one CPU")
    print(f"{'together':<24} {sum(shares.values()):6.1%}")
    return 0


def environment() -> int:
    """Print shell exports that give a person the tools and the cluster."""
    tools.use("kind", "kubectl", "helm")
    path = cache.root() / "kubeconfig"
    path.write_text(output(["kind", "get", "kubeconfig", "--name", CLUSTER]))
    path.chmod(0o600)
    print(f"export PATH={shlex.quote(str(tools.folder()))}:$PATH")
    print(f"export KUBECONFIG={shlex.quote(str(path))}")
    return 0


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines())

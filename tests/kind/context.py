"""Which cluster is ours, and refusing every other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.kind.cache import REPO
from tests.kind.docker import docker
from tests.kind.shell import CommandFailed, HarnessError, output

CLUSTER = "aurora"
KUBE_CONTEXT = f"kind-{CLUSTER}"
MARKER = "aurora-kind"  # a ConfigMap in kube-system that says that this harness made the cluster


@dataclass(frozen=True)
class Context:
    """What the steps of `up` hand to each other."""

    registry: bool  # whether images can be pulled
    repo: Path = REPO
    cluster: str = CLUSTER

    def nodes(self) -> list[str]:
        """Names of the node containers (the nodes have the same names)."""
        label = f"label=io.x-k8s.kind.cluster={self.cluster}"
        return sorted(docker("ps", "--all", "--filter", label, "--format", "{{.Names}}").split())

    def workers(self) -> list[str]:
        """The nodes that run what is not Kubernetes' own: the operator, the databases."""
        return [node for node in self.nodes() if "control-plane" not in node]


def kubectl(*arguments: str, stdin: str | None = None, timeout: float | None = None) -> str:
    """Run kubectl against our cluster, whatever the person's current context is."""
    return output(["kubectl", "--context", KUBE_CONTEXT, *arguments], stdin=stdin, timeout=timeout)


def apply(manifest: str) -> None:
    """Apply a manifest (YAML or JSON) to our cluster."""
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", "-", stdin=manifest)


def require_own_context() -> None:
    """Raise unless the cluster behind our context is one that `up` made: tests delete things without asking."""
    try:
        kubectl("--namespace", "kube-system", "get", "configmap", MARKER, timeout=30)
    except CommandFailed as error:
        raise HarnessError(
            f"the tests only run against the kind cluster that `python -m tests.kind up` makes; "
            f"context {KUBE_CONTEXT} is not it: {error.output.strip()}"
        ) from error

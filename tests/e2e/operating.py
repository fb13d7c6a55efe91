"""The operator's process under test: stopped, killed, brought back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.e2e import kube
from tests.e2e.aurora import is_ready
from tests.e2e.kube import until
from tests.kind.context import kubectl

NAMESPACE = "aurora-system"
SELECTOR = "app.kubernetes.io/name=aurora-operator"


def deployment() -> str:
    """Name of the operator's Deployment. Raises AssertionError when there is not exactly one."""
    found = [item["metadata"]["name"] for item in kube.items("deployments", NAMESPACE, SELECTOR)]
    assert len(found) == 1, f"Deployments of the operator in namespace {NAMESPACE}: {found}"
    return str(found[0])


def pods() -> list[kube.Object]:
    """The operator's pods."""
    return kube.items("pods", NAMESPACE, SELECTOR)


def scale(replicas: int, *, timeout: float = 120) -> None:
    """Set the number of operators, and wait until that many run."""
    kubectl("--namespace", NAMESPACE, "scale", "deployment", deployment(), f"--replicas={replicas}", timeout=60)

    def look() -> bool:
        live = pods()
        return len(live) == replicas and all(is_ready(pod) for pod in live)

    until(f"{replicas} operators run", look, timeout=timeout)


@contextlib.contextmanager
def stopped() -> Iterator[None]:
    """Without an operator; it comes back afterwards."""
    scale(0)
    try:
        yield
    finally:
        scale(1)


def kill() -> None:
    """End the operator without notice, as when its node is lost; its Deployment makes another."""
    for pod in pods():
        kube.delete("pod", pod["metadata"]["name"], NAMESPACE, "--force", "--grace-period=0", wait=False)


def set_environment(name: str, value: str | None) -> None:
    """Set or remove a variable of the operator, and wait until the new one runs."""
    where = f"deployment/{deployment()}"
    kubectl("--namespace", NAMESPACE, "set", "env", where, f"{name}-" if value is None else f"{name}={value}")
    kubectl("--namespace", NAMESPACE, "rollout", "status", where, "--timeout=120s", timeout=150)

"""Faults, injected from inside the kind nodes, into pods of the project's own clusters only."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from tests.e2e import kube
from tests.kind.docker import docker

from aurora_operator.api.base import names

# Finds the postmaster among the children of a container's first process, by the process number that it has there.
_POSTMASTER = r"""
inside=$(head -n 1 "/proc/$1/root/data/pgdata/postmaster.pid")
for pid in $(pgrep -P "$1" -x postgres); do
  set -- "$1" $(grep ^NSpid: "/proc/$pid/status")
  eval "last=\${$#}"
  if [ "$last" = "$inside" ]; then echo "$pid"; exit 0; fi
done
echo "no postmaster $inside among the children of $1" >&2
exit 1
"""


LABEL_PEER = "aurorapg.io/peer"
"""On the pods of what bench/ measures beside ours: faults may be injected there, too."""


@dataclass(frozen=True)
class Container:
    """A running container of a pod, as its node sees it."""

    node: str
    pid: int


def container(namespace: str, pod: str, name: str = names.CONTAINER) -> Container:
    """Where a database pod's container runs, and its first process there."""
    live = kube.need("pod", pod, namespace)
    assert {names.LABEL_CLUSTER, LABEL_PEER} & live["metadata"]["labels"].keys(), f"{pod} is not a database pod"
    return first_process(live, name)


def first_process(live: kube.Object, name: str) -> Container:
    """The first process of a live pod's container, as its node sees it."""
    status = next(c for c in live["status"]["containerStatuses"] if c["name"] == name)
    identifier = str(status["containerID"]).removeprefix("containerd://")
    node: str = live["spec"]["nodeName"]
    listed = docker("exec", node, "ctr", "-n", "k8s.io", "task", "ls", timeout=30)
    found = re.search(rf"^{re.escape(identifier)}\s+(\d+)\s+RUNNING", listed, re.MULTILINE)
    assert found is not None, f"container {identifier} of {live['metadata']['name']} does not run on {node}"
    return Container(node, int(found.group(1)))


def postmaster(namespace: str, pod: str) -> Container:
    """A pod's postmaster as a process of its node."""
    agent = container(namespace, pod)
    found = docker("exec", agent.node, "sh", "-c", _POSTMASTER, "sh", str(agent.pid), timeout=30)
    return Container(agent.node, int(found))


def signal(target: Container, name: str) -> float:
    """Send a signal to one process; return when that began (of time.time())."""
    at = time.time()
    docker("exec", target.node, "kill", f"-{name}", str(target.pid), timeout=30)
    return at


def kill_postmaster(namespace: str, pod: str) -> float:
    """`kill -9` of the postmaster; return when."""
    return signal(postmaster(namespace, pod), "KILL")


def kill_agent(namespace: str, pod: str) -> float:
    """`kill -9` of the container's first process, with which all the others die; return when."""
    return signal(container(namespace, pod), "KILL")


def delete_by_force(namespace: str, pod: str) -> float:
    """`kubectl delete pod --force --grace-period=0`; return when it was asked for."""
    at = time.time()
    kube.delete("pod", pod, namespace, "--force", "--grace-period=0", wait=False)
    return at


def delete_gracefully(namespace: str, pod: str) -> float:
    """`kubectl delete pod`; return when it was asked for."""
    at = time.time()
    kube.delete("pod", pod, namespace, wait=False)
    return at

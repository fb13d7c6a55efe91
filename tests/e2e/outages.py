"""Faults that last, and end with their `with` block: processes frozen, nodes paused, networks cut, disks full.

Only containers and pods of the project's own kind cluster are touched. `heal` undoes what an interrupted run left.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from tests.e2e import faults, kube
from tests.kind.context import CLUSTER, Context
from tests.kind.docker import docker

from aurora_operator.api.base import names

Direction = Literal["both", "out", "in"]
"""What is cut, as seen from the pod or zone: all it sends and gets, what it sends, or what it gets."""

CONTROL_PLANE = f"{CLUSTER}-control-plane"
FILLER = f"{names.DATA_MOUNT}/filler-of-a-test"
_CHAIN = "AURORA-FAULT"

# Stops and prints those processes in the pid namespace of process $1 whose $2 (comm, cmdline) is as process $3's.
_FREEZE = r"""
space=$(readlink "/proc/$1/ns/pid")
for folder in /proc/[0-9]*; do
  if [ "$(readlink "$folder/ns/pid" 2>/dev/null)" = "$space" ] && cmp -s "$folder/$2" "/proc/$3/$2"
  then kill -STOP "${folder#/proc/}" 2>/dev/null && echo "${folder#/proc/}"; fi
done
true
"""

# Makes the chain, which FORWARD, INPUT and OUTPUT pass first.
_MAKE_CHAIN = f"""
iptables -w -N {_CHAIN} 2>/dev/null || true
for chain in FORWARD INPUT OUTPUT; do
  iptables -w -C $chain -j {_CHAIN} 2>/dev/null || iptables -w -I $chain -j {_CHAIN}
done
"""
_DROP_CHAIN = f"""
for chain in FORWARD INPUT OUTPUT; do
  while iptables -w -D $chain -j {_CHAIN} 2>/dev/null; do :; done
done
iptables -w -F {_CHAIN} 2>/dev/null || true
iptables -w -X {_CHAIN} 2>/dev/null || true
"""


def heal() -> None:
    """End every outage of an earlier run that could not end it itself."""
    context = Context(registry=False)
    paused = docker("ps", "--filter", "status=paused", "--format", "{{.Names}}").split()
    for node in context.nodes():
        if node in paused:
            docker("unpause", node)
        _sh(node, _DROP_CHAIN)


def _sh(node: str, script: str, *arguments: str) -> str:
    return docker("exec", node, "sh", "-c", script, "sh", *arguments, timeout=30)


@contextlib.contextmanager
def frozen_postgres(namespace: str, pod: str) -> Iterator[float]:
    """All of a pod's PostgreSQL stands still; its agent does not. Yields when it began (of time.time())."""
    agent, postmaster = faults.container(namespace, pod), faults.postmaster(namespace, pod)
    at = faults.signal(postmaster, "STOP")  # first: it makes more of them
    stopped = _sh(agent.node, _FREEZE, str(agent.pid), "comm", str(postmaster.pid)).split()
    try:
        yield at
    finally:
        _continue(agent.node, [str(postmaster.pid), *stopped])


@contextlib.contextmanager
def frozen_agent(namespace: str, pod: str) -> Iterator[float]:
    """A pod's agent stands still; its PostgreSQL does not."""
    agent = faults.container(namespace, pod)
    at = time.time()
    # Patroni, which bench/ measures too, is two processes as a container's first one.
    stopped = _sh(agent.node, _FREEZE, str(agent.pid), "cmdline", str(agent.pid)).split()
    try:
        yield at
    finally:
        _continue(agent.node, stopped)


def _continue(node: str, pids: list[str]) -> None:
    _sh(node, "for pid in $*; do kill -CONT $pid 2>/dev/null; done; true", *pids)


@contextlib.contextmanager
def paused_node(node: str) -> Iterator[float]:
    """Everything on a node stands still."""
    at = time.time()
    docker("pause", node)
    try:
        yield at
    finally:
        docker("unpause", node)


def without_api() -> contextlib.AbstractContextManager[float]:
    """The API server, and all of the control plane, stand still. No kubectl works, no Service moves."""
    return paused_node(CONTROL_PLANE)


@contextlib.contextmanager
def _dropping(node: str, rules: list[str]) -> Iterator[float]:
    commands = "\n".join(f"iptables -w -A {_CHAIN} {rule} -j DROP" for rule in rules)
    at = time.time()
    try:
        _sh(node, f"set -e\n{_MAKE_CHAIN}\n{commands}")
        yield at
    finally:
        _sh(node, "\n".join(f"iptables -w -D {_CHAIN} {rule} -j DROP || true" for rule in rules))


def cut_off_pod(namespace: str, pod: str, direction: Direction = "both") -> contextlib.AbstractContextManager[float]:
    """A pod's packets are dropped on its node."""
    live = kube.need("pod", pod, namespace)
    address, node = live["status"]["podIP"], live["spec"]["nodeName"]
    rules = {"out": [f"-s {address}"], "in": [f"-d {address}"]}
    return _dropping(node, rules["out"] + rules["in"] if direction == "both" else rules[direction])


def cut_off_zone(node: str, direction: Direction = "both") -> contextlib.AbstractContextManager[float]:
    """Packets between a node, its pods included, and all other nodes and their pods are dropped there."""
    others = [other for other in kube.items("nodes", "default") if other["metadata"]["name"] != node]
    ranges = [other["spec"]["podCIDR"] for other in others]
    for other in others:
        ranges += [a["address"] for a in other["status"]["addresses"] if a["type"] == "InternalIP"]
    rules = {"out": [f"-d {range}" for range in ranges], "in": [f"-s {range}" for range in ranges]}
    return _dropping(node, rules["out"] + rules["in"] if direction == "both" else rules[direction])


@contextlib.contextmanager
def full_volume(namespace: str, pod: str) -> Iterator[float]:
    """The volume of a pod's data and WAL has no byte left."""
    script = f"""
import os, time
print(time.time(), flush=True)
with open("{FILLER}", "wb", buffering=0) as file:
    for size in (1 << 24, 1 << 16, 1 << 12, 1):
        try:
            while True:
                file.write(bytes(size))
        except OSError:
            pass
    os.fsync(file.fileno())
"""
    try:
        yield float(kube.execute(namespace, pod, names.CONTAINER, "python3", "-c", script, timeout=120))
    finally:
        _remove_filler(namespace, pod)


def _remove_filler(namespace: str, pod: str) -> None:
    """Its container may be between two lives."""

    def look() -> bool:
        kube.execute(namespace, pod, names.CONTAINER, "rm", "-f", FILLER, timeout=20)
        return True

    kube.until(f"the filler in {pod} is removed", look, timeout=90)


def restart_nodes(nodes: list[str]) -> float:
    """Restart the nodes at once, as after a power cut; return when that began."""
    at = time.time()
    with ThreadPoolExecutor(len(nodes)) as pool:
        for done in [pool.submit(docker, "restart", "--time", "1", node, timeout=180) for node in nodes]:
            done.result()
    return at

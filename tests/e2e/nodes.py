"""Nodes that are not as the others, for a while: a small one, one in another zone, volumes that are bound to none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tests.e2e import kube
from tests.e2e.kube import until
from tests.kind.context import kubectl
from tests.kind.docker import docker

from aurora_operator.api.base import names
from aurora_operator.api.base.quantity import to_bytes

_CONFIG = "/var/lib/kubelet/config.yaml"
_FOLDER = "/var/local/aurora-e2e"


def workers() -> list[str]:
    """The nodes that take instances."""
    return sorted(n["metadata"]["name"] for n in kube.items("nodes", "default", names.LABEL_ZONE))


def zone_of(node: str) -> str:
    """Its zone."""
    return str(kube.need("node", node, "default")["metadata"]["labels"][names.LABEL_ZONE])


@contextlib.contextmanager
def in_zone(node: str, zone: str) -> Iterator[None]:
    """A node in another zone."""
    before = zone_of(node)
    kubectl("label", "node", node, "--overwrite", f"{names.LABEL_ZONE}={zone}", timeout=30)
    try:
        yield
    finally:
        kubectl("label", "node", node, "--overwrite", f"{names.LABEL_ZONE}={before}", timeout=30)


@contextlib.contextmanager
def reserved(node: str, millis: int) -> Iterator[None]:
    """A node whose kubelet keeps so much CPU for itself."""

    def allocatable() -> str:
        return str(kube.need("node", node, "default")["status"]["allocatable"]["cpu"])

    before = allocatable()
    with_it = f"cp {_CONFIG} {_CONFIG}.before && printf 'systemReserved:\n  cpu: {millis}m\n' >> {_CONFIG}"
    docker("exec", node, "sh", "-c", f"{with_it} && systemctl restart kubelet")
    try:
        until(f"{node} has less to give", lambda: allocatable() != before, timeout=60)
        yield
    finally:
        docker("exec", node, "sh", "-c", f"mv {_CONFIG}.before {_CONFIG} && systemctl restart kubelet")
        until(f"{node} is as it was", lambda: allocatable() == before, timeout=60)


@contextlib.contextmanager
def unbound_volumes(name: str, count: int, size: str) -> Iterator[None]:
    """A StorageClass of that name whose volumes any node can mount. Each node has a file system of its own for each of
    them, in its memory, so that a copy that comes to another node finds nothing there, as after the loss of a disk."""
    folders = [f"{_FOLDER}/{name}-{number}" for number in range(count)]
    options = f"size={to_bytes(size)},uid={names.POSTGRES_UID},mode=0700"
    mounts = " && ".join(f"mkdir -p {folder} && mount -t tmpfs -o {options} tmpfs {folder}" for folder in folders)
    for node in workers():
        docker("exec", node, "sh", "-c", mounts)
    metadata: dict[str, Any] = {"name": name}
    kube.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": metadata,
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
    )
    for number, folder in enumerate(folders):
        spec = {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": name,
            "hostPath": {"path": folder, "type": "Directory"},
        }
        volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"{name}-{number}"}}
        kube.apply(volume | {"spec": spec})
    try:
        yield
    finally:
        for number in range(count):
            kube.delete("pv", f"{name}-{number}", "default", wait=False)
        kube.delete("storageclass", name, "default")
        for node in workers():
            docker("exec", node, "sh", "-c", f"umount --lazy {' '.join(folders)}; rm -rf {_FOLDER}")

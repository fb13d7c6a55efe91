"""Kopf's handlers: they keep what is known of the AuroraClusters, and say who must look again, and nothing more. What
belongs to a cluster is followed by `kube/cache.py`, which keeps it, and forgets what went while nobody looked.

Only `on.event`: such handlers write nothing to the resources. Any other kind would make Kopf put annotations, and a
finalizer, on what belongs to the user.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Hashable, Mapping
from typing import Any, Final

import kopf

from aurora_operator.api.base import names
from aurora_operator.api.snapshot import SNAPSHOT_PLURAL

SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"

registry = kopf.OperatorRegistry()


def settings() -> kopf.OperatorSettings:
    """Kopf's settings: every watch ends, no write of its own, no peering."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    made.scanning.disabled = True  # neither namespaces nor CRDs are watched; the CRD exists before Kopf starts
    made.watching.server_timeout = 300
    made.watching.client_timeout = 330
    made.watching.connect_timeout = 10
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 10
    made.process.ultimate_exiting_timeout = 20
    return made


def fingerprint(body: Mapping[str, Any]) -> Hashable:
    """What a change must touch to be worth a pass: not the status, which is our own word."""
    metadata = body["metadata"]
    annotations = tuple(sorted((metadata.get("annotations") or {}).items()))
    finalizers = tuple(metadata.get("finalizers") or ())
    return metadata["uid"], metadata.get("generation"), metadata.get("deletionTimestamp"), finalizers, annotations


@kopf.on.login(registry=registry)
async def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
    """The pod's service account, by address and not by DNS name; else the kubeconfig's."""
    info = kopf.login_with_service_account(settings=settings)
    if info is None:
        return kopf.login_with_kubeconfig(settings=settings)
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    return dataclasses.replace(info, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


@kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)
async def cluster_event(event: Any, namespace: str | None, name: str, memo: Any, **_: Any) -> None:
    """An AuroraCluster appeared, changed or went."""
    key = (str(namespace), name)
    if event["type"] == "DELETED":
        memo.clusters.remove(event["object"])
        memo.fleet.gone(key)
    else:
        memo.clusters.put(event["object"])
        memo.fleet.seen(key, fingerprint(event["object"]))


@kopf.on.event(names.GROUP, names.VERSION, SNAPSHOT_PLURAL, registry=registry)
async def snapshot_event(event: Any, namespace: str | None, name: str, memo: Any, **_: Any) -> None:
    """An AuroraSnapshot appeared, changed or went."""
    key = (str(namespace), name)
    if event["type"] == "DELETED":
        memo.snapshots.gone(key)
    else:
        memo.snapshots.seen(key, fingerprint(event["object"]))
    if event["type"] == "ADDED" and (cluster := (event["object"].get("spec") or {}).get("cluster")):
        memo.fleet.wake((str(namespace), cluster))  # which may have to run for it


@kopf.on.probe(registry=registry)
async def alive(memo: Any, **_: Any) -> str:
    """Whether every loop and the election go on; an error here makes the kubelet restart the operator."""
    complaints = memo.complaints()
    if complaints:
        raise RuntimeError("; ".join(complaints))
    return "leading" if memo.fleet.active else "standing by"


@kopf.on.cleanup(registry=registry)
async def stop(memo: Any, **_: Any) -> None:
    """The process ends: no pass is cut off in the middle of a call without our knowing."""
    await memo.fleet.stop()
    await memo.snapshots.stop()

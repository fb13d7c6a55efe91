"""The one question the driver has for the Kubernetes API: how is my node labelled?"""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
from pathlib import Path

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


def topology_of(labels: dict[str, str], node: str) -> dict[str, str]:
    """Return what binds a volume to its node: the hostname, and the zone if the node has one."""
    topology = {HOSTNAME: labels.get(HOSTNAME, node)}
    if ZONE in labels:
        topology[ZONE] = labels[ZONE]
    return topology


def node_labels(node: str) -> dict[str, str]:
    """Return a node's labels; outside of a cluster, none.

    Raises OSError if the API does not answer: better to be started again than to report no zone.
    """
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    if not host:
        return {}
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    request = urllib.request.Request(
        f"https://{'[' + host + ']' if ':' in host else host}:{port}/api/v1/nodes/{node}",
        headers={"Authorization": f"Bearer {(_ACCOUNT / 'token').read_text()}"},
    )
    trust = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
        labels: dict[str, str] = json.load(answer)["metadata"].get("labels", {})
    return labels

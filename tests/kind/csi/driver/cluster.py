"""What the driver asks the Kubernetes API: how its node is labelled, and where the other drivers are."""

from __future__ import annotations

import json
import os
import ssl
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

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
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        return {}
    labels: dict[str, str] = _get(f"/api/v1/nodes/{node}")["metadata"].get("labels", {})
    return labels


def driver_address(node: str) -> str:
    """Return the IP address of the driver's pod on a node, or an empty text if none is running.

    Raises OSError if the API does not answer.
    """
    selection = urllib.parse.urlencode(
        {
            "labelSelector": "app=aurora-csi-node",
            "fieldSelector": f"spec.nodeName={node},status.phase=Running",
        }
    )
    namespace = (_ACCOUNT / "namespace").read_text()
    pods = _get(f"/api/v1/namespaces/{namespace}/pods?{selection}")["items"]
    living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    return str(living[0]["status"].get("podIP", "")) if living else ""


def _get(path: str) -> Any:
    """Read from the Kubernetes API as this pod's service account."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    request = urllib.request.Request(
        f"https://{'[' + host + ']' if ':' in host else host}:{port}{path}",
        headers={"Authorization": f"Bearer {(_ACCOUNT / 'token').read_text()}"},
    )
    trust = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
        return json.load(answer)

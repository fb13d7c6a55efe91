"""What a pod may reach that needs a destination of backups and nothing else.

A NetworkPolicy knows addresses and ports, not names, and pod networks differ in whether they look before or after a
Service's port became its pod's: so the destination's port is open to anywhere, and for a server in this Kubernetes
cluster every port of its namespace.
"""

from __future__ import annotations

from typing import Any, Final

from aurora_operator.api.spec.repository import Destination
from aurora_operator.planning.objects.common import tcp_ports

HTTPS: Final = 443
DNS_PORTS: Final = (53, 5353)
"""The second one is that of OpenShift's DNS pods, behind a Service with the first."""
IDENTITY_SERVERS: Final = ("169.254.169.254/32", "169.254.169.252/32")
"""Who tells a pod who it is: the metadata servers of Amazon and Google, and that of GKE's workload identity."""
IDENTITY_PORTS: Final = (80, 988)


def egress_to(destination: Destination, namespace: str) -> list[dict[str, Any]]:
    """The rules for pods in `namespace`; none where the destination is a volume, which the node mounts."""
    place = destination.s3 or destination.gcs or destination.azure
    if place is None:
        return []
    host, _, port = place.endpoint.partition(":")
    dns = [{"protocol": protocol, "port": number} for number in DNS_PORTS for protocol in ("UDP", "TCP")]
    # Whoever asks for a token asks another server: that of a key's token_uri, or Amazon's for a ServiceAccount.
    asks = destination.gcs is not None or place.credentials is None
    ports = {int(port or HTTPS), *([HTTPS] if asks else [])}
    rules: list[dict[str, Any]] = [{"ports": dns}, {"ports": tcp_ports(*sorted(ports))}]
    inside = _namespace_of(host, namespace)
    if inside is not None:
        there = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": inside}}}
        rules.append({"to": [there], "ports": [{"protocol": "TCP"}]})
    if place.credentials is None:
        servers = [{"ipBlock": {"cidr": cidr}} for cidr in IDENTITY_SERVERS]
        rules.append({"to": servers, "ports": tcp_ports(*IDENTITY_PORTS)})
    return rules


def _namespace_of(host: str, own: str) -> str | None:
    """The namespace of a Service, by its name as pods in the namespace `own` may write it; None for what is none."""
    labels = host.rstrip(".").split(".")
    if len(labels) == 1:
        return own
    if len(labels) == 2:  # SERVICE.NAMESPACE, or a domain, for which no namespace is called
        return labels[1]
    return labels[labels.index("svc", 2) - 1] if "svc" in labels[2:] else None

"""Services, the EndpointSlices of the writer, and the NetworkPolicy."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base import names
from aurora_operator.api.spec.access import Peer
from aurora_operator.api.spec.services import Services, ServiceSettings
from aurora_operator.planning.model.plan_model import OperatorConfig, Raw
from aurora_operator.planning.objects.common import Identity, tcp_ports
from aurora_operator.planning.objects.gateway import gateway_selector

SLICE_MANAGER: Final = names.GROUP
"""Tells Kubernetes' own EndpointSlice controllers that the slice is not theirs."""


def build_services(
    identity: Identity,
    *,
    readers: bool,
    diverted: bool = False,
    writer_only: bool = False,
    settings: Services = Services(),  # noqa: B008  a value
) -> list[dict[str, Any]]:
    """The four Services. Without `readers`, the readers' endpoint leads to the writer, as in Aurora; all of them do
    with `writer_only`; those of a cluster that sleeps lead to the gateway (`diverted`).

    The one over all instances selects the readers; the writer has a slice there (`endpoint.any_slice` says why).
    """
    writer, reader = ({**identity.pod_selector, names.LABEL_ROLE: role} for role in ("writer", "reader"))
    away = gateway_selector(identity) if diverted else None
    return [
        build_service(identity, names.writer_service(identity.name), None, settings.writer),
        build_service(
            identity,
            names.reader_service(identity.name),
            away or (reader if readers and not writer_only else writer),
            settings.reader,
        ),
        build_service(
            identity, names.any_service(identity.name), away or (writer if writer_only else reader), settings.any
        ),
        identity.object(
            "Service",
            names.pods_service(identity.name),
            spec={
                "type": "ClusterIP",
                "clusterIP": "None",
                # Agents find each other before anything is ready.
                "publishNotReadyAddresses": True,
                # Log copies have names too.
                "selector": {names.LABEL_CLUSTER: identity.name},
                "ports": [
                    _port("postgres", names.POSTGRES_PORT),
                    _port("peer", names.PEER_PORT),
                    _port("api", names.API_PORT),
                ],
            },
        ),
    ]


def build_service(
    identity: Identity,
    name: str,
    selector: Mapping[str, str] | None,
    settings: ServiceSettings | None = None,
    *,
    custom: str | None = None,
) -> dict[str, Any]:
    """The Service of an endpoint. Of what it says nothing about (ports of nodes that Kubernetes chose, addresses,
    finalizers, annotations of others) others decide, and it stays as they want it.

    `custom` is a custom endpoint's name.
    """
    settings = settings or ServiceSettings()
    port = _port("postgres", names.POSTGRES_PORT)
    if settings.node_port is not None:
        port["nodePort"] = settings.node_port
    spec: dict[str, Any] = {"type": settings.type, "ports": [port]}
    # None is said, not left out: a selector that somebody adds must go.
    spec["selector"] = None if selector is None else dict(selector)
    if settings.type != "ClusterIP":
        spec["externalTrafficPolicy"] = settings.external_traffic_policy or "Cluster"
    if settings.type == "LoadBalancer":
        # Likewise: whom it lets in must not stay as it was when the spec no longer says so.
        spec["loadBalancerSourceRanges"] = list(settings.load_balancer_source_ranges) or None
        if settings.load_balancer_class is not None:
            spec["loadBalancerClass"] = settings.load_balancer_class
    labels = {**settings.labels, **_mark(custom)}
    return identity.object("Service", name, labels=labels, annotations=settings.annotations, spec=spec)


def build_custom_service(
    identity: Identity, name: str, settings: ServiceSettings | None, *, diverted: bool
) -> dict[str, Any]:
    """The Service of a custom endpoint: over the readers that are marked as its members, or the gateway of a cluster
    that sleeps. The writer's part is a slice, as in the Service over all instances."""
    members = {**identity.pod_selector, names.LABEL_ROLE: "reader", names.LABEL_MEMBER + name: "true"}
    selector = gateway_selector(identity) if diverted else members
    return build_service(identity, names.custom_service(identity.name, name), selector, settings, custom=name)


def _mark(custom: str | None) -> dict[str, str]:
    return {} if custom is None else {names.LABEL_ENDPOINT: custom}


def _port(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "port": number, "targetPort": number, "protocol": "TCP"}


def build_endpointslice(
    identity: Identity,
    leader: AgentStatus | None,
    *,
    node: str | None = None,
    resource_version: str | None = None,
    among_all: bool = False,
    custom: str | None = None,
) -> dict[str, Any]:
    """The writer's EndpointSlice, of its own Service, of the one over all instances or of a custom endpoint's: empty
    without a leader.

    With `resource_version`, applying it fails if an agent has written the slice in the meantime.
    """
    name, service = names.writer_endpointslice(identity.name), names.writer_service(identity.name)
    if among_all:
        name, service = names.any_endpointslice(identity.name), names.any_service(identity.name)
    if custom is not None:
        name, service = names.custom_endpointslice(identity.name, custom), names.custom_service(identity.name, custom)
    family = "IPv4"
    endpoints: list[dict[str, Any]] = []
    if leader is not None:
        family = "IPv6" if ipaddress.ip_address(leader.pod_ip).version == 6 else "IPv4"
        reference = {"kind": "Pod", "namespace": identity.namespace, "name": names.pod_name(leader.name)}
        if leader.pod_uid:
            reference["uid"] = leader.pod_uid
        endpoint: dict[str, Any] = {
            "addresses": [leader.pod_ip],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": reference,
        }
        if leader.zone is not None:
            endpoint["zone"] = leader.zone
        if node is not None:
            endpoint["nodeName"] = node
        endpoints.append(endpoint)
    built = identity.object(
        "EndpointSlice",
        name,
        labels={
            "kubernetes.io/service-name": service,
            "endpointslice.kubernetes.io/managed-by": SLICE_MANAGER,
            **_mark(custom),
        },
        annotations={names.ANNOTATION_EPOCH: str(leader.epoch if leader is not None else 0)},
        addressType=family,
        ports=[{"name": "postgres", "port": names.POSTGRES_PORT, "protocol": "TCP"}],
        endpoints=endpoints,
    )
    if resource_version is not None:
        built["metadata"]["resourceVersion"] = resource_version
    return built


def divert(there: Raw, ip: str) -> dict[str, Any]:
    """The writer's EndpointSlice as it is, but leading to the gateway at `ip`: the epoch stays, so that the next
    writer's agent writes over it."""
    metadata = there["metadata"]
    kept = ("name", "namespace", "labels", "annotations", "ownerReferences", "resourceVersion")
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "addressType": "IPv6" if ipaddress.ip_address(ip).version == 6 else "IPv4",
        "ports": [{"name": "postgres", "port": names.POSTGRES_PORT, "protocol": "TCP"}],
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True, "serving": True, "terminating": False}}],
    }


def build_network_policy(
    identity: Identity, operator: OperatorConfig, allowed: Iterable[Peer] | None = None
) -> dict[str, Any]:
    """Who may connect to the pods of copies and the gateway: to PostgreSQL everybody, or who is `allowed` and those who
    need it. Egress is left open: extensions and foreign data wrappers go where users say. Rehearsals have a policy of
    their own."""

    pods = _own_pods(identity)
    operators = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": operator.namespace}},
        "podSelector": {"matchLabels": dict(operator.pod_labels)},
    }
    return identity.object(
        "NetworkPolicy",
        identity.name,
        spec={
            "podSelector": pods,
            "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": tcp_ports(names.POSTGRES_PORT), **from_allowed(identity, allowed)},
                {
                    "ports": tcp_ports(names.PEER_PORT, names.API_PORT, names.BACKUP_PORT),
                    "from": [{"podSelector": pods}],
                },
                {"ports": tcp_ports(names.API_PORT), "from": [operators]},
                {"ports": tcp_ports(names.HEALTH_PORT)},
            ],
        },
    )


def from_allowed(identity: Identity, allowed: Iterable[Peer] | None) -> dict[str, Any]:
    """`from` of a rule for clients: those that are `allowed` and those who must be; nothing where all are."""
    if allowed is None:
        return {}
    # A clone of this cluster copies its data by PostgreSQL's own protocol; so do exports.
    copies = [
        {"key": names.LABEL_CLUSTER, "operator": "Exists"},
        {"key": names.LABEL_COMPONENT, "operator": "In", "values": ["instance"]},
    ]
    transfers = {"matchLabels": {f"{names.GROUP}/transfer": identity.name}}
    own = (_own_pods(identity), {"matchExpressions": copies}, transfers)
    peers = [peer.model_dump(by_alias=True, exclude_none=True) for peer in allowed]
    return {"from": [*({"podSelector": selector} for selector in own), *peers]}


def _own_pods(identity: Identity) -> dict[str, Any]:
    """A rehearsal has nothing to ask of the cluster, nor the cluster of it."""
    return {
        "matchLabels": {names.LABEL_CLUSTER: identity.name},
        "matchExpressions": [{"key": names.LABEL_COMPONENT, "operator": "NotIn", "values": ["rehearsal"]}],
    }

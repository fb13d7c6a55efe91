"""The proxy: pods that anyone may connect to, and that may do nothing in the Kubernetes API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aurora_operator.api.agent.proxy import ProxySettings
from aurora_operator.api.base import names
from aurora_operator.api.spec.access import Peer
from aurora_operator.api.spec.placement import Image, Scheduling
from aurora_operator.api.spec.pod_metadata import PodMetadata
from aurora_operator.api.spec.proxy import Proxy
from aurora_operator.planning.objects.common import Identity, canonical, encode_data, tcp_ports
from aurora_operator.planning.objects.network import from_allowed
from aurora_operator.planning.objects.security import restricted_container, restricted_pod

COMPONENT: Final = "proxy"
GRACE_SECONDS: Final = 600
"""How long clients of a pod that is to go may take to leave by themselves."""
RESOURCES: Final = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


def proxy_selector(identity: Identity) -> dict[str, str]:
    """Labels that select its pods."""
    return {names.LABEL_CLUSTER: identity.name, names.LABEL_COMPONENT: COMPONENT}


def build_proxy_certificates(identity: Identity, data: Mapping[str, str]) -> dict[str, Any]:
    """Its Secret."""
    return identity.object("Secret", names.proxy_secret(identity.name), type="Opaque", data=encode_data(data))


def build_proxy_surroundings(identity: Identity, allowed: Iterable[Peer] | None = None) -> list[dict[str, Any]]:
    """Its Services, its account, which has no rights, how many pods may be evicted at a time, and its second port."""
    name, selector = names.proxy(identity.name), proxy_selector(identity)
    return [
        identity.object("ServiceAccount", name, automountServiceAccountToken=False),
        _service(identity, name, names.POSTGRES_PORT),
        _service(identity, names.proxy_reader_service(identity.name), names.PROXY_RO_PORT),
        identity.object("PodDisruptionBudget", name, spec={"maxUnavailable": 1, "selector": {"matchLabels": selector}}),
        identity.object(
            "NetworkPolicy",
            name,
            spec={
                "podSelector": {"matchLabels": selector},
                "policyTypes": ["Ingress"],
                "ingress": [{"ports": tcp_ports(names.PROXY_RO_PORT), **from_allowed(identity, allowed)}],
            },
        ),
    ]


def _service(identity: Identity, name: str, port: int) -> dict[str, Any]:
    """A request to cancel is a connection of its own, and means something only at the pod that has the session: so all
    of one client go to one pod."""
    return identity.object(
        "Service",
        name,
        spec={
            "type": "ClusterIP",
            "sessionAffinity": "ClientIP",
            "ports": [{"name": "postgres", "port": names.POSTGRES_PORT, "targetPort": port, "protocol": "TCP"}],
            "selector": proxy_selector(identity),
        },
    )


def build_proxy(
    identity: Identity,
    proxy: Proxy,
    *,
    replicas: int,
    image: str,
    image_settings: Image,
    scheduling: Scheduling,
    pod_metadata: PodMetadata,
) -> dict[str, Any]:
    """Its Deployment, of the instances' image. A new pod is there before an old one goes."""
    name, selector = names.proxy(identity.name), proxy_selector(identity)
    # How many pods there are is no pod's business, nor how large they are.
    told = proxy.model_copy(update={"replicas": None, "resources": None})
    settings = ProxySettings(cluster=identity.name, namespace=identity.namespace, proxy=told)
    container: dict[str, Any] = {
        "name": "proxy",
        "image": image,
        "imagePullPolicy": image_settings.pull_policy,
        "command": ["python3", "-m", "aurora_operator.proxy"],
        "env": [
            {"name": "AURORA_PROXY", "value": canonical(settings.model_dump(mode="json", by_alias=True))},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
        ],
        "ports": [
            {"name": "postgres", "containerPort": names.POSTGRES_PORT, "protocol": "TCP"},
            {"name": "postgres-ro", "containerPort": names.PROXY_RO_PORT, "protocol": "TCP"},
            {"name": "health", "containerPort": names.HEALTH_PORT, "protocol": "TCP"},
        ],
        "resources": RESOURCES if proxy.resources is None else proxy.resources.to_kubernetes(),
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": names.HEALTH_PORT}, "periodSeconds": 1},
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": names.HEALTH_PORT},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "securityContext": restricted_container(),
        "volumeMounts": [
            {"name": "tls", "mountPath": names.TLS_MOUNT, "readOnly": True},
            {"name": "run", "mountPath": names.PROXY_RUN_DIR},
        ],
    }
    spec: dict[str, Any] = {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": restricted_pod(),
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector},
            }
            for key in (names.LABEL_ZONE, "kubernetes.io/hostname")
        ],
        "tolerations": [t.model_dump(by_alias=True, exclude_none=True) for t in scheduling.tolerations],
        "containers": [container],
        "volumes": [
            {"name": "tls", "secret": {"secretName": names.proxy_secret(identity.name), "defaultMode": 0o440}},
            {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        ],
    }
    if scheduling.node_selector:
        spec["nodeSelector"] = dict(scheduling.node_selector)
    if scheduling.priority_class_name is not None:
        spec["priorityClassName"] = scheduling.priority_class_name
    if image_settings.pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret.name} for secret in image_settings.pull_secrets]
    metadata: dict[str, Any] = {"labels": {**pod_metadata.labels, **identity.labels, names.LABEL_COMPONENT: COMPONENT}}
    if pod_metadata.annotations:
        metadata["annotations"] = dict(pod_metadata.annotations)
    return identity.object(
        "Deployment",
        name,
        labels={names.LABEL_COMPONENT: COMPONENT},
        spec={
            "replicas": replicas,
            "selector": {"matchLabels": selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": metadata, "spec": spec},
        },
    )

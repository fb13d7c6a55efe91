"""The gateway: stands in for a cluster that sleeps or was stopped, and may do two things only."""

from __future__ import annotations

from typing import Any, Final

from aurora_operator.api.base import names
from aurora_operator.api.spec.placement import Image, Scheduling
from aurora_operator.api.spec.pod_metadata import PodMetadata
from aurora_operator.planning.objects.common import Identity
from aurora_operator.planning.objects.security import restricted_container, restricted_pod

COMPONENT: Final = "gateway"
GRACE_SECONDS: Final = 30


def gateway_selector(identity: Identity) -> dict[str, str]:
    """Labels that select its pod."""
    return {names.LABEL_CLUSTER: identity.name, names.LABEL_COMPONENT: COMPONENT}


def build_gateway_access(identity: Identity) -> list[dict[str, Any]]:
    """Its own account: it looks where the writer is, and marks its own pod."""
    name = names.gateway(identity.name)
    rules = [
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "resourceNames": [names.writer_endpointslice(identity.name)],
            "verbs": ["get"],
        },
        {"apiGroups": [""], "resources": ["pods"], "resourceNames": [names.pod_name(name)], "verbs": ["patch"]},
    ]
    return [
        identity.object("ServiceAccount", name),
        identity.object("Role", name, rules=rules),
        identity.object(
            "RoleBinding",
            name,
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            subjects=[{"kind": "ServiceAccount", "name": name, "namespace": identity.namespace}],
        ),
    ]


def build_gateway(
    identity: Identity,
    *,
    image: str,
    image_settings: Image,
    scheduling: Scheduling,
    pod_metadata: PodMetadata,
    refuses: bool,
) -> dict[str, Any]:
    """Its StatefulSet of one pod, of the instances' image, which the nodes have. With `refuses` it wakes nobody."""
    name, selector = names.gateway(identity.name), gateway_selector(identity)
    probe = {"tcpSocket": {"port": names.POSTGRES_PORT}}
    container: dict[str, Any] = {
        "name": "gateway",
        "image": image,
        "imagePullPolicy": image_settings.pull_policy,
        "command": ["python3", "-m", "aurora_operator.gateway"],
        "env": [
            {"name": "AURORA_CLUSTER", "value": identity.name},
            {"name": "AURORA_NAMESPACE", "value": identity.namespace},
            {"name": "AURORA_STOPPED", "value": "true" if refuses else "false"},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
        ],
        "ports": [{"name": "postgres", "containerPort": names.POSTGRES_PORT, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "readinessProbe": {**probe, "periodSeconds": 1},
        "livenessProbe": {**probe, "periodSeconds": 10, "failureThreshold": 6},
        "securityContext": restricted_container(),
        "volumeMounts": [{"name": "tls", "mountPath": names.TLS_MOUNT, "readOnly": True}],
    }
    # Of the cluster's certificates only the server's, to tell who asks in TLS why there is no session.
    keys = [{"key": key, "path": key} for key in ("server.crt", "server.key")]
    secret = {"secretName": names.tls_secret(identity.name), "defaultMode": 0o440, "items": keys}
    spec: dict[str, Any] = {
        "serviceAccountName": name,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": restricted_pod(),
        "tolerations": [t.model_dump(by_alias=True, exclude_none=True) for t in scheduling.tolerations],
        "containers": [container],
        "volumes": [{"name": "tls", "secret": secret}],
    }
    if scheduling.node_selector:
        spec["nodeSelector"] = dict(scheduling.node_selector)
    if image_settings.pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret.name} for secret in image_settings.pull_secrets]
    metadata: dict[str, Any] = {"labels": {**pod_metadata.labels, **identity.labels, names.LABEL_COMPONENT: COMPONENT}}
    if pod_metadata.annotations:
        metadata["annotations"] = dict(pod_metadata.annotations)
    return identity.object(
        "StatefulSet",
        name,
        labels={names.LABEL_COMPONENT: COMPONENT},
        spec={
            "replicas": 1,
            "serviceName": names.pods_service(identity.name),
            "selector": {"matchLabels": selector},
            "template": {"metadata": metadata, "spec": spec},
        },
    )

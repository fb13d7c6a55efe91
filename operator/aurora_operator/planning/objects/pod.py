"""The pod of an instance or a log copy: `restricted` by the pod security standards, with a read-only root file system.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, Literal

from aurora_operator.api.base import names
from aurora_operator.api.spec.placement import Image, Scheduling
from aurora_operator.api.spec.resources import Resources
from aurora_operator.planning.objects import repositories
from aurora_operator.planning.objects.common import Identity
from aurora_operator.planning.objects.security import restricted_container, restricted_pod
from aurora_operator.planning.objects.volume import claim_name

EVICT_SECONDS: Final = 30
"""How long a pod stays on a node that is lost. Failover does not wait for it; the volume's release does."""


@dataclass(frozen=True)
class PodKind:
    """What differs between the pods of instances and of log copies. A pod mounts only what it needs."""

    component: Literal["instance", "log"]
    grace_seconds: int
    account: str
    """Its ServiceAccount, with `{}` for the cluster's name."""
    ports: tuple[str, ...]
    volumes: tuple[str, ...]


INSTANCE: Final = PodKind(
    component="instance",
    # Time for the leader to hand over and for PostgreSQL's shutdown checkpoint.
    grace_seconds=60,
    account="{}",
    ports=("postgres", "peer", "api", "health"),
    volumes=("data", "run", "tmp", "shm", "tls", "app", "settings"),
)
LOG: Final = PodKind(
    component="log",
    grace_seconds=15,
    account="{}-log",
    ports=("peer", "api", "health"),
    volumes=("data", "run", "tmp", "tls", "settings"),
)


def pod_spec(
    identity: Identity,
    name: str,
    *,
    kind: PodKind = INSTANCE,
    image: str,
    zone: str | None,
    resources: Resources,
    image_settings: Image,
    scheduling: Scheduling,
    has_origin: bool = False,
    mounts: tuple[repositories.Mount, ...] = (),
) -> dict[str, Any]:
    """The `spec` of the pod of copy `name`. `has_origin`: its cluster may begin as a copy of a running one."""
    selector = dict(scheduling.node_selector)
    if zone is not None:
        selector[names.LABEL_ZONE] = zone
    spec: dict[str, Any] = {
        "serviceAccountName": kind.account.format(identity.name),
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": kind.grace_seconds,
        # A volume that is ours already is not walked: it may be large, and PostgreSQL refuses a data directory
        # that is opened to the group.
        "securityContext": {**restricted_pod(), "fsGroupChangePolicy": "OnRootMismatch"},
        "affinity": _affinity(identity, scheduling, kind),
        "tolerations": _tolerations(scheduling),
        "containers": [_container(identity, name, kind, image, zone, resources, image_settings)],
        "volumes": [v for v in _volumes(identity, name) if v["name"] in kind.volumes],
    }
    if has_origin:
        _add_origin(identity, spec)
    repositories.add(spec, mounts)
    if selector:
        spec["nodeSelector"] = selector
    if scheduling.priority_class_name is not None:
        spec["priorityClassName"] = scheduling.priority_class_name
    if image_settings.pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret.name} for secret in image_settings.pull_secrets]
    return spec


_PORTS: Final = {
    "postgres": names.POSTGRES_PORT,
    "peer": names.PEER_PORT,
    "api": names.API_PORT,
    "health": names.HEALTH_PORT,
}
_MOUNTS: Final[tuple[dict[str, Any], ...]] = (
    {"name": "data", "mountPath": names.DATA_MOUNT},
    {"name": "run", "mountPath": names.RUN_DIR},
    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a volume of the pod's own
    {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  likewise
    {"name": "tls", "mountPath": names.TLS_MOUNT, "readOnly": True},
    {"name": "app", "mountPath": names.APP_MOUNT, "readOnly": True},
    {"name": "settings", "mountPath": names.SETTINGS_MOUNT, "readOnly": True},
)


def _container(
    identity: Identity,
    name: str,
    kind: PodKind,
    image: str,
    zone: str | None,
    resources: Resources,
    image_settings: Image,
) -> dict[str, Any]:
    return {
        "name": names.CONTAINER,
        "image": image,
        "imagePullPolicy": image_settings.pull_policy,
        "env": _environment(identity, name, kind, zone, resources),
        "ports": [{"name": name, "containerPort": _PORTS[name], "protocol": "TCP"} for name in kind.ports],
        "resources": resources.to_kubernetes(),
        "securityContext": restricted_container(),
        # The agent is alive while its event loop is; that PostgreSQL is down is its business, not the kubelet's.
        "livenessProbe": _probe("/livez", period=10, timeout=5, failures=6),
        "readinessProbe": _probe("/readyz", period=2, timeout=2, failures=2),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [m for m in _MOUNTS if m["name"] in kind.volumes],
    }


def _environment(
    identity: Identity, name: str, kind: PodKind, zone: str | None, resources: Resources
) -> list[dict[str, Any]]:
    def field(variable: str, path: str) -> dict[str, Any]:
        return {"name": variable, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}

    def resource(variable: str, of: str, divisor: str) -> dict[str, Any]:
        reference = {"containerName": names.CONTAINER, "resource": of, "divisor": divisor}
        return {"name": variable, "valueFrom": {"resourceFieldRef": reference}}

    values = {
        "AURORA_CLUSTER": identity.name,
        "AURORA_NAMESPACE": identity.namespace,
        "AURORA_INSTANCE": name,
        "AURORA_KIND": kind.component,
    }
    if zone is not None:
        values["AURORA_ZONE"] = zone
    # Without a limit, limits.cpu would be the whole node's.
    cpu = "requests.cpu" if resources.cpu_limit_millis is None else "limits.cpu"
    return [
        *({"name": key, "value": value} for key, value in values.items()),
        field("POD_NAME", "metadata.name"),
        field("POD_IP", "status.podIP"),
        field("POD_UID", "metadata.uid"),
        field("NODE_NAME", "spec.nodeName"),
        resource("AURORA_CPU_MILLIS", cpu, "1m"),
        resource("AURORA_MEMORY_BYTES", "limits.memory", "1"),
    ]


def _probe(path: str, *, period: int, timeout: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "health", "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def _volumes(identity: Identity, name: str) -> list[dict[str, Any]]:
    tls = {"secretName": names.tls_secret(identity.name), "defaultMode": 0o440}
    app = {"secretName": names.app_secret(identity.name), "defaultMode": 0o440}
    return [
        {"name": "data", "persistentVolumeClaim": {"claimName": claim_name(name)}},
        {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "512Mi"}},
        # No size of its own: the container's memory limit bounds it, as PostgreSQL expects of shared memory.
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
        {"name": "tls", "secret": tls},
        {"name": "app", "secret": app},
        {"name": "settings", "configMap": {"name": names.settings_configmap(identity.name), "defaultMode": 0o444}},
    ]


def _add_origin(identity: Identity, spec: dict[str, Any]) -> None:
    """The credentials for the copy: there only while one is being made, so that the pod's form never changes."""
    secret = {"secretName": names.origin_secret(identity.name), "defaultMode": 0o440, "optional": True}
    spec["volumes"].append({"name": "origin", "secret": secret})
    mount = {"name": "origin", "mountPath": names.ORIGIN_MOUNT, "readOnly": True}
    spec["containers"][0]["volumeMounts"].append(mount)


def _affinity(identity: Identity, scheduling: Scheduling, kind: PodKind) -> dict[str, Any]:
    """The user's affinity, and a wish for a node of its own in each zone: of instances apart from other instances, of
    log copies apart from all."""
    affinity = deepcopy(scheduling.affinity)
    apart = affinity.setdefault("podAntiAffinity", {})
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": identity.copies_selector if kind is LOG else {"matchLabels": identity.pod_selector},
    }
    wishes = apart.setdefault("preferredDuringSchedulingIgnoredDuringExecution", [])
    wishes.append({"weight": 100, "podAffinityTerm": term})
    return affinity


def _tolerations(scheduling: Scheduling) -> list[dict[str, Any]]:
    own = [
        {
            "key": f"node.kubernetes.io/{taint}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": EVICT_SECONDS,
        }
        for taint in ("not-ready", "unreachable")
    ]
    users = [t.model_dump(by_alias=True, exclude_none=True) for t in scheduling.tolerations]
    taken = {t.get("key") for t in users}
    return [*users, *(t for t in own if t["key"] not in taken)]

"""The objects of a Patroni cluster, as its documentation for Kubernetes has them: Endpoints hold the leader's lock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.e2e.aurora import SMALL
from tests.e2e.faults import LABEL_PEER

from aurora_operator.api.base import names

Object = dict[str, Any]

IMAGE = "aurora-patroni:dev"
CONTAINER = "postgres"
DATABASE = USER = "app"
_TLS, _CONFIG = "/etc/patroni/tls", "/etc/patroni"


def build(name: str, namespace: str, *, replicas: int, tls: Mapping[str, str], password: str) -> list[Object]:
    """Everything, in the order in which to apply it. `tls` has ca.crt, server.crt and server.key."""
    labels = {"application": "patroni", "cluster-name": name}

    def thing(api: str, kind: str, called: str, **fields: Any) -> Object:
        metadata = {"name": called, "namespace": namespace, "labels": labels}
        return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}

    access = [
        {"apiGroups": [""], "resources": ["endpoints", "configmaps"], "verbs": _ALL},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "patch", "update", "watch"]},
        {"apiGroups": [""], "resources": ["services"], "verbs": ["create", "get"]},
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    app = {"ca.crt": tls["ca.crt"], "dbname": DATABASE, "username": USER, "password": password}
    port = {"name": "postgresql", "port": names.POSTGRES_PORT, "targetPort": names.POSTGRES_PORT}
    return [
        thing("v1", "ServiceAccount", name),
        thing("rbac.authorization.k8s.io/v1", "Role", name, rules=access),
        thing(
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            name,
            roleRef=role,
            subjects=[{"kind": "ServiceAccount", "name": name}],
        ),
        thing("v1", "Secret", f"{name}-tls", stringData=dict(tls)),
        thing("v1", "Secret", names.app_secret(name), stringData=app),
        thing("v1", "ConfigMap", f"{name}-config", data={"patroni.yaml": _config(name, namespace, password)}),
        # Patroni writes the Endpoints of the leader's Service, which therefore selects nothing.
        thing("v1", "Service", name, spec={"type": "ClusterIP", "ports": [port]}),
        thing("v1", "Service", f"{name}-pods", spec={"clusterIP": "None", "selector": labels, "ports": [port]}),
        thing("apps/v1", "StatefulSet", name, spec=_statefulset(name, labels, replicas)),
    ]


_ALL = ["create", "get", "list", "patch", "update", "watch", "delete", "deletecollection"]


def _config(name: str, namespace: str, password: str) -> str:
    """Patroni's own configuration (JSON is YAML), with its default timings: `PatroniCluster.configure` sets others."""
    hba = [
        "local all all trust",
        "hostssl replication standby all scram-sha-256",
        "hostssl all postgres all scram-sha-256",
        f"hostssl all {USER} all scram-sha-256",
    ]
    config = {
        "scope": name,
        "restapi": {"listen": "0.0.0.0:8008"},
        "kubernetes": {
            "namespace": namespace,
            "labels": {"application": "patroni"},
            "scope_label": "cluster-name",
            "role_label": "role",
            "use_endpoints": True,
            "ports": [{"name": "postgresql", "port": names.POSTGRES_PORT}],
        },
        "bootstrap": {
            "dcs": {
                "synchronous_mode": "quorum",
                "synchronous_node_count": 1,
                "postgresql": {
                    "use_pg_rewind": True,
                    "parameters": {"max_connections": 100, "wal_level": "replica", "wal_log_hints": "on"},
                },
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
            "pg_hba": hba,
        },
        "postgresql": {
            "listen": "0.0.0.0:5432",
            "data_dir": f"{names.DATA_MOUNT}/pgdata",
            "bin_dir": "/usr/lib/postgresql/17/bin",
            "pgpass": "/tmp/pgpass",
            "authentication": {
                "superuser": {"username": "postgres", "password": password},
                "replication": {"username": "standby", "password": password},
                "rewind": {"username": "postgres", "password": password},
            },
            "pg_hba": hba,
            "parameters": {
                "unix_socket_directories": "/tmp",
                "shared_buffers": "128MB",
                "ssl": "on",
                "ssl_ca_file": f"{_TLS}/ca.crt",
                "ssl_cert_file": f"{_TLS}/server.crt",
                "ssl_key_file": f"{_TLS}/server.key",
                "jit": "off",
            },
        },
    }
    return json.dumps(config)


def _statefulset(name: str, labels: Object, replicas: int) -> Object:
    def field(variable: str, path: str) -> Object:
        return {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    env = [field("PATRONI_NAME", "metadata.name"), field("PATRONI_KUBERNETES_POD_IP", "status.podIP")]
    env += [
        {"name": f"PATRONI_{what}_CONNECT_ADDRESS", "value": f"$(PATRONI_KUBERNETES_POD_IP):{port}"}
        for what, port in (("RESTAPI", 8008), ("POSTGRESQL", names.POSTGRES_PORT))
    ]
    mounts: dict[str, Object] = {
        names.DATA_MOUNT: {"persistentVolumeClaim": {"claimName": "data"}},
        "/tmp": {"emptyDir": {}},
        "/dev/shm": {"emptyDir": {"medium": "Memory"}},
        _CONFIG: {"configMap": {"name": f"{name}-config"}},
        _TLS: {"secret": {"secretName": f"{name}-tls", "defaultMode": 0o440}},
    }
    volumes = [{"name": f"v{number}", **source} for number, source in enumerate(mounts.values()) if number]
    at = [{"name": f"v{number}" if number else "data", "mountPath": path} for number, path in enumerate(mounts)]
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": SMALL["storage"]["size"]}},
        },
    }
    container = {
        "name": CONTAINER,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "env": env,
        "resources": SMALL["resources"],
        "readinessProbe": {"httpGet": {"path": "/readiness", "port": 8008}, "periodSeconds": 2, "timeoutSeconds": 2},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": at,
    }
    user = names.POSTGRES_UID
    security = {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": names.LABEL_ZONE,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }
    zoned = {"nodeSelectorTerms": [{"matchExpressions": [{"key": names.LABEL_ZONE, "operator": "Exists"}]}]}
    pod = {
        "serviceAccountName": name,
        "securityContext": security,
        "topologySpreadConstraints": [spread],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": zoned}},
        "containers": [container],
        "volumes": volumes,
    }
    return {
        "replicas": replicas,
        "serviceName": f"{name}-pods",
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels | {LABEL_PEER: name}}, "spec": pod},
        "volumeClaimTemplates": [claim],
    }

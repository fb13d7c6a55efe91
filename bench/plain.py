"""PostgreSQL as it comes, to measure ours against: a primary, and standbys that it waits for, with our parameters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.e2e import kube
from tests.e2e.aurora import SMALL
from tests.e2e.probe import IMAGE

from aurora_operator.api.base import names
from aurora_operator.api.base.quantity import to_bytes
from aurora_operator.planning.certificates import pki
from aurora_operator.postgres.config import parameters
from aurora_operator.postgres.config.conf import setting

CONTAINER = "postgres"
CONNECTIONS = 100
"""More than the size of these servers would give them, and enough for 64 clients."""
_SOCKETS = "/tmp"
_PRIMARY = """
test -s /data/pgdata/PG_VERSION || initdb -D /data/pgdata -U postgres --data-checksums -E UTF8 --locale C.UTF-8 -A trust
"""
_STANDBY = """
until pg_basebackup -D /data/pgdata -R -d "host={host} user=postgres application_name=standby sslmode=require"
do rm -rf /data/pgdata; sleep 0.5; done
"""
_HBA = "local all all trust\nhostssl all all all trust\nhostssl replication all all trust\n"
_RUN = "exec postgres -D /data/pgdata -c config_file=/config/postgresql.conf -c hba_file=/config/pg_hba.conf"


class Plain:
    """A primary and so many synchronous standbys, each in a zone of its own."""

    def __init__(self, name: str, namespace: str, *, standbys: int) -> None:
        self.name = name
        self.namespace = namespace
        self._standbys = standbys

    @property
    def pods(self) -> list[str]:
        """The primary's name first."""
        return [self.name, *(f"{self.name}-standby-{number}" for number in range(1, self._standbys + 1))]

    def create(self) -> None:
        """Make it, and wait until each commit waits for its standbys."""
        now = datetime.now(UTC)
        authority = pki.make_authority(self.name, pki.new_private_key(), now)
        server = pki.make_server(self.name, (self.name,), pki.new_private_key(), authority, now)
        data = {"server.crt": server.certificate, "server.key": server.key}
        self._apply("Secret", self.name, stringData=data)
        self._apply("ConfigMap", self.name, data={"postgresql.conf": self._conf(), "pg_hba.conf": _HBA})
        self._apply("Service", self.name, spec={"selector": {"app": self.name}, "ports": [{"port": 5432}]})
        for pod in self.pods:
            claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": SMALL["storage"]["size"]}}}
            self._apply("PersistentVolumeClaim", pod, spec=claim)
            self._apply("Pod", pod, labels={"app": pod, "plain": self.name}, spec=self._pod(pod))
        kube.until(f"{self.name} and its standbys run", self._is_ready, timeout=120)

    def _is_ready(self) -> bool:
        synchronous = self.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
        return synchronous == str(self._standbys)

    def address(self) -> str:
        """The primary's."""
        return str(kube.need("pod", self.name, self.namespace)["status"]["podIP"])

    def sql(self, statement: str) -> str:
        """A statement as superuser at the primary."""
        words = ["psql", "-h", _SOCKETS, "-U", "postgres", "-XAt", "-v", "ON_ERROR_STOP=1", "-c", statement]
        return kube.execute(self.namespace, self.name, CONTAINER, *words, timeout=120).strip()

    def _apply(self, kind: str, name: str, *, labels: dict[str, str] | None = None, **fields: Any) -> None:
        metadata = {"name": name, "namespace": self.namespace, "labels": labels or {}}
        kube.apply({"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields})

    def _conf(self) -> str:
        """What an instance of ours of the same size has, but for who is waited for."""
        memory, volume = to_bytes(SMALL["resources"]["limits"]["memory"]), to_bytes(SMALL["storage"]["size"])
        sizes = parameters.Sizes(cpu_millis=1000, memory=memory, smallest_memory=memory, volume=volume)
        values = {choice.name: choice.value for choice in parameters.merge(parameters.compute(sizes), {}, None)}
        values |= {
            "max_connections": str(CONNECTIONS),
            "listen_addresses": "*",
            "unix_socket_directories": _SOCKETS,
            "ssl_cert_file": "/tls/server.crt",
            "ssl_key_file": "/tls/server.key",
            "synchronous_standby_names": f"FIRST {self._standbys} (standby)" if self._standbys else "",
        }
        return "\n".join(setting(name, value) for name, value in values.items()) + "\n"

    def _pod(self, name: str) -> dict[str, Any]:
        script = _PRIMARY if name == self.name else _STANDBY.format(host=self.name)
        mounts: dict[str, dict[str, Any]] = {
            "/data": {"persistentVolumeClaim": {"claimName": name}},
            "/tmp": {"emptyDir": {}},
            "/dev/shm": {"emptyDir": {"medium": "Memory"}},
            "/config": {"configMap": {"name": self.name}},
            "/tls": {"secret": {"secretName": self.name, "defaultMode": 0o440}},
        }
        user = names.POSTGRES_UID
        apart = {
            "maxSkew": 1,
            "topologyKey": names.LABEL_ZONE,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"plain": self.name}},
        }
        zoned = {"nodeSelectorTerms": [{"matchExpressions": [{"key": names.LABEL_ZONE, "operator": "Exists"}]}]}
        return {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "topologySpreadConstraints": [apart],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": zoned}},
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": user,
                "runAsGroup": user,
                "fsGroup": user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": CONTAINER,
                    "image": IMAGE,
                    "command": ["sh", "-ec", f"umask 077\n{script}\n{_RUN}"],
                    "resources": SMALL["resources"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": f"v{n}", "mountPath": path} for n, path in enumerate(mounts)],
                }
            ],
            "volumes": [{"name": f"v{n}", **source} for n, source in enumerate(mounts.values())],
        }

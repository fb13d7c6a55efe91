"""A pod from which tests connect as applications do: over the network, with TLS and a password."""

from __future__ import annotations

from tests.e2e import kube
from tests.e2e.aurora import AuroraCluster
from tests.e2e.kube import until
from tests.e2e.probe import restricted_pod
from tests.kind.shell import CommandFailed

from aurora_operator.api.base import names

POD = "client"
CONTAINER = "client"
WITH_PASSWORD = 'IFS= read -r PGPASSWORD; export PGPASSWORD; exec "$@"'


class Refused(Exception):
    """psql could not connect, or the statement failed; the message is psql's."""


class Client:
    """psql in the namespace of a cluster."""

    def __init__(self, cluster: AuroraCluster) -> None:
        self._cluster = cluster

    def start(self) -> None:
        """Start the pod, if it does not run yet."""
        namespace = self._cluster.namespace
        if kube.get("pod", POD, namespace) is None:
            ca = {"secretName": names.app_secret(self._cluster.name), "items": [{"key": "ca.crt", "path": "ca.crt"}]}
            mounts: dict[str, kube.Object] = {"/ca": {"secret": ca}}
            password = {"secretKeyRef": {"name": names.app_secret(self._cluster.name), "key": "password"}}
            env = [{"name": "PGPASSWORD", "valueFrom": password}]
            command = ["sleep", "infinity"]
            kube.apply(restricted_pod(POD, namespace, command=command, container=CONTAINER, env=env, mounts=mounts))

        def runs() -> bool:
            return bool(kube.need("pod", POD, namespace)["status"]["phase"] == "Running")

        until("the client pod runs", runs, timeout=60)

    def psql(self, target: str, statement: str, *, password: str | None = None) -> str:
        """A statement to a connection string or URI; columns by `|`, rows by lines. With the cluster's password, which
        is in the pod's environment, or another. Raises Refused."""
        words = ["psql", target, "-XAt", "-v", "ON_ERROR_STOP=1", "-c", statement]
        namespace = self._cluster.namespace
        try:
            if password is not None:
                return execute_with(password, namespace, POD, CONTAINER, *words).strip()
            return kube.execute(namespace, POD, CONTAINER, *words, timeout=60).strip()
        except CommandFailed as error:
            raise Refused(error.output) from error

    def conninfo(self, service: str, **others: str) -> str:
        """How an application connects to one of the cluster's Services, verifying its certificate. The password is
        not in it: command lines can be read by others."""
        secret = self._cluster.secret()
        words = {
            "host": f"{service}.{self._cluster.namespace}.svc",
            "dbname": secret["dbname"],
            "user": secret["username"],
            "sslmode": "verify-full",
            "sslrootcert": "/ca/ca.crt",
            "connect_timeout": "5",
        } | others
        return " ".join(f"{key}={value}" for key, value in words.items())


def execute_with(password: str, namespace: str, pod: str, container: str, *command: str, timeout: float = 60) -> str:
    """Run a client of PostgreSQL in a container with a password, which no command line shows. Raises CommandFailed."""
    words = ["sh", "-c", WITH_PASSWORD, "sh", *command]
    return kube.execute(namespace, pod, container, *words, stdin=f"{password}\n", timeout=timeout)

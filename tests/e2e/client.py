"""A pod from which tests connect as applications do: over the network, with TLS and a password."""

from __future__ import annotations

from tests.e2e import kube
from tests.e2e.aurora import AuroraCluster
from tests.e2e.kube import until
from tests.e2e.probe import restricted_pod
from tests.kind.shell import CommandFailed

from aurora_operator.api import names

POD = "client"
CONTAINER = "client"


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
            kube.apply(
                restricted_pod(POD, namespace, command=["sleep", "infinity"], container=CONTAINER, mounts=mounts)
            )

        def runs() -> bool:
            return bool(kube.need("pod", POD, namespace)["status"]["phase"] == "Running")

        until("the client pod runs", runs, timeout=60)

    def psql(self, target: str, statement: str) -> str:
        """A statement to a connection string or URI; columns by `|`, rows by lines. Raises Refused."""
        words = ["psql", target, "-XAt", "-v", "ON_ERROR_STOP=1", "-c", statement]
        try:
            return kube.execute(self._cluster.namespace, POD, CONTAINER, *words, timeout=60).strip()
        except CommandFailed as error:
            raise Refused(error.output) from error

    def conninfo(self, service: str, **others: str) -> str:
        """How an application connects to one of the cluster's Services, verifying its certificate."""
        secret = self._cluster.secret()
        words = {
            "host": f"{service}.{self._cluster.namespace}.svc",
            "dbname": secret["dbname"],
            "user": secret["username"],
            "password": secret["password"],
            "sslmode": "verify-full",
            "sslrootcert": "/ca/ca.crt",
            "connect_timeout": "5",
        } | others
        return " ".join(f"{key}={value}" for key, value in words.items())

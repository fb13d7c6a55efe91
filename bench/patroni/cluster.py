"""A Patroni cluster under test, seen from outside as an AuroraCluster is."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from tests.e2e import kube
from tests.e2e.aurora import Leadership, is_ready
from tests.e2e.faults import LABEL_PEER
from tests.e2e.kube import Object, until
from tests.kind import project
from tests.kind.cache import REPO
from tests.kind.context import Context, kubectl
from tests.kind.shell import CommandFailed

from aurora_operator.api.base import names
from aurora_operator.planning.certificates import pki
from bench.patroni import manifests

IMAGE = project.Image("patroni", requirements=REPO / "bench/patroni/requirements.txt", folder=REPO / "bench/patroni")

# Talks to Patroni's REST API inside a pod: python3 -c … METHOD PATH [BODY]
_REST = """
import sys, urllib.request
method, path, *body = sys.argv[1:]
request = urllib.request.Request(f"http://localhost:8008{path}", method=method, data=body[0].encode() if body else None)
try:
    print(urllib.request.urlopen(request, timeout=60).read().decode())
except urllib.error.HTTPError as error:
    sys.exit(f"{error.code}: {error.read().decode()}")
"""


def build_image() -> None:
    """Bring the image up to date, here and on the workers."""
    project.build_and_load(Context(registry=False), (IMAGE,))


class PatroniCluster:
    """A handle. Its pods are called like the instances."""

    container = manifests.CONTAINER

    def __init__(self, name: str, namespace: str, *, replicas: int = 3) -> None:
        self.name = name
        self.namespace = namespace
        self._replicas = replicas

    def create(self) -> None:
        """Apply all of it."""
        now = datetime.now(UTC)
        authority = pki.make_authority(self.name, pki.new_private_key(), now)
        host = f"{self.name}.{self.namespace}.svc"
        server = pki.make_server(host, (host,), pki.new_private_key(), authority, now)
        tls = {"ca.crt": authority.certificate, "server.crt": server.certificate, "server.key": server.key}
        password = secrets.token_hex(12)
        for manifest in manifests.build(self.name, self.namespace, replicas=self._replicas, tls=tls, password=password):
            kube.apply(manifest)

    def wait_ready(self, timeout: float = 180) -> None:
        """Wait for a writer, its readers, and the user that clients log in as."""
        self.wait_roles(readers=self._replicas - 1, timeout=timeout)
        secret = self.secret()
        user, password = secret["username"], secret["password"]
        with contextlib.suppress(CommandFailed):
            self.sql(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
            self.sql(f"CREATE DATABASE {secret['dbname']} OWNER {user}")

    def sql(self, statement: str) -> str:
        """A statement as superuser at the writer."""
        words = ["psql", "-h", "/tmp", "-U", "postgres", "-XAt", "-v", "ON_ERROR_STOP=1", "-c", statement]
        return kube.execute(self.namespace, self.leadership().instance, self.container, *words).strip()

    def rest(self, pod: str, method: str, path: str, body: Mapping[str, object] | None = None) -> str:
        """A request to a pod's Patroni."""
        words = ["python3", "-c", _REST, method, path, *([] if body is None else [json.dumps(body)])]
        return kube.execute(self.namespace, pod, self.container, *words, timeout=90)

    def configure(self, settings: Mapping[str, object]) -> None:
        """Change the dynamic configuration, and wait until every pod has heard of it."""
        self.rest(self.leadership().instance, "PATCH", "/config", settings)
        time.sleep(12)  # the loop period at most, of which nothing outside tells

    def switch_over(self) -> float:
        """Ask for a switchover to anybody; return when."""
        leader = self.leadership().instance
        candidate = next(pod for pod, role in self.serving().items() if role == "reader")
        at = time.time()
        self.rest(leader, "POST", "/switchover", {"leader": leader, "candidate": candidate})
        return at

    def pods(self) -> list[Object]:
        """Its pods, by name."""
        return sorted(
            kube.items("pods", self.namespace, f"{LABEL_PEER}={self.name}"),
            key=lambda pod: str(pod["metadata"]["name"]),
        )

    def serving(self) -> dict[str, str]:
        """Role of each ready pod, in our words."""
        words = {"primary": "writer", "replica": "reader"}
        return {
            pod["metadata"]["name"]: words.get(pod["metadata"]["labels"].get("role", ""), "none")
            for pod in self.pods()
            if is_ready(pod)
        }

    def leadership(self) -> Leadership:
        """Who holds the leader's lock. Raises AssertionError while nobody does."""
        words = ["--namespace", self.namespace, "get", "endpoints", self.name, "--output", "json"]
        live = json.loads(kubectl(*words, timeout=30))
        annotations = live["metadata"].get("annotations", {})
        leader = annotations.get("leader")
        assert leader, f"nobody holds the lock: {annotations}"
        addresses = [a["ip"] for subset in live.get("subsets") or [] for a in subset.get("addresses") or []]
        return Leadership(int(annotations.get("transitions", 0)), leader, addresses[0] if addresses else "")

    def wait_roles(self, *, writers: int = 1, readers: int, timeout: float = 120) -> dict[str, str]:
        """Wait until that many serve as writers and readers."""

        def look() -> dict[str, str]:
            roles = self.serving()
            assert sorted(roles.values()) == ["reader"] * readers + ["writer"] * writers, roles
            return roles

        return until(f"{self.name}: {writers} writer and {readers} readers serve", look, timeout=timeout)

    def pod_of(self, instance: str) -> str:
        """Instances and pods have one name here."""
        return instance

    def secret(self) -> dict[str, str]:
        """The connection Secret, decoded."""
        data = kube.need("secret", names.app_secret(self.name), self.namespace)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

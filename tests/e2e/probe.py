"""Clients that write through a Service without pause while something is done to the cluster; then the account.

    with Probe(cluster) as probe:
        at = faults.kill_postmaster(...)
        ...
        report = probe.stop()
    assert report.lost == 0
    print(report.longest_gap(at))

The clients are `prober.py`, in a pod of the cluster's namespace. Times are of time.time(): test and nodes share a
clock, as kind's nodes are containers of this machine.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from pydantic import BaseModel, Field
from tests.e2e import kube
from tests.e2e.kube import until

from aurora_operator.api.base import names

IMAGE = "aurora-instance:dev"
_SCRIPT = Path(__file__).with_name("prober.py")
LEAST_GAP = 0.02  # prober.py reports no shorter ones


class Stale(BaseModel):
    """A read through the endpoint that did not see a row acknowledged before it began."""

    row: tuple[int, int]
    begun: float
    age: float = Field(description="Seconds between the row's acknowledgement and the beginning of the read.")
    client: int


class Report(BaseModel):
    """What the clients saw, compared with the table."""

    acknowledged: int
    unknown: int
    refused: int
    first: float
    stopped: float
    gaps: list[tuple[float, float]]
    reads: int
    stale: list[Stale]
    errors: dict[str, int]
    lost: int
    lost_rows: list[tuple[float, tuple[int, int]]]
    doubly: int
    phantoms: list[tuple[int, int]]
    unknown_present: int
    present: int

    def longest_gap(self, since: float = 0.0, until: float = float("inf")) -> float:
        """The longest time, in seconds, without an acknowledged write of any client that overlaps the window."""
        return max((b - a for a, b in self.gaps if b > since and a < until), default=LEAST_GAP)

    def require_nothing_lost(self, excused: Iterable[tuple[float, float]] = ()) -> None:
        """Raise AssertionError unless every acknowledged row is there, once, and no read was stale.

        Stale reads that began in one of the spans `excused` (of time.time()) do not count: see "Limits" in
        docs/consensus.md.
        """
        assert self.acknowledged > 0, "no write was acknowledged at all"
        assert self.lost == 0, f"{self.lost} acknowledged rows are missing, such as {self.lost_rows}"
        assert self.doubly == 0, f"{self.doubly} rows were acknowledged twice"
        assert not self.phantoms, f"rows that were refused are there: {self.phantoms}"
        spans = tuple(excused)
        stale = [read for read in self.stale if not any(a <= read.begun <= b for a, b in spans)]
        assert not stale, f"{len(stale)} reads missed acknowledged rows, such as {stale[:5]}"

    def summary(self) -> dict[str, Any]:
        """The figures for a line of output."""
        return {
            "acknowledged": self.acknowledged,
            "lost": self.lost,
            "unknown": self.unknown,
            "stale": len(self.stale),
            "longest_gap": round(self.longest_gap(), 3),
        }


class Database(Protocol):
    """What the clients need to know of a cluster. Its Services and Secrets are called as an AuroraCluster's."""

    name: str
    namespace: str

    def pods(self) -> list[kube.Object]:
        """Its pods, by name."""

    def secret(self) -> dict[str, str]:
        """The connection Secret, decoded."""


class Probe:
    """The clients, from start to account. As a context manager it starts them, and removes them at the end."""

    def __init__(
        self,
        cluster: Database,
        *,
        name: str = "probe",
        service: str | None = None,
        held: int = 2,
        fresh: int = 2,
        pause: float = 0.0,
        avoid_node: str | None = None,
        only_node: str | None = None,
        direct: bool = False,
    ) -> None:
        """`direct` clients know all instances, and choose the writer among them themselves: no Service is needed."""
        self._cluster = cluster
        self._name = name
        self._direct = direct
        self._service = service or names.writer_service(cluster.name)
        self._avoid_node, self._only_node = avoid_node, only_node
        self._options = {"PROBE_HELD": str(held), "PROBE_FRESH": str(fresh), "PROBE_PAUSE": str(pause)}
        self._lines: list[dict[str, Any]] = []
        self._other: list[str] = []
        self._over = threading.Event()
        self._follower: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def start(self, *, timeout: float = 60) -> None:
        """Start the clients and wait until they write."""
        self._remove(wait=True)
        self._over.clear()
        namespace = self._cluster.namespace
        kube.apply(self._configmap())
        kube.apply(self._pod())
        until("the probe runs", lambda: self._phase() in ("Running", "Failed"), timeout=timeout, every=0.2)
        live = kube.need("pod", self._name, namespace)
        file = f"/var/log/pods/{namespace}_{self._name}_{live['metadata']['uid']}/probe/0.log"
        self._follower = threading.Thread(target=self._follow, args=(live["spec"]["nodeName"], file), daemon=True)
        self._follower.start()
        self.wait_acknowledged(100, timeout=timeout)

    def acknowledged(self) -> int:
        """Writes acknowledged so far, a quarter of a second ago at most."""
        tick = self._tick()
        return int(tick["acknowledged"]) if tick else 0

    def last_acknowledged(self) -> float:
        """When a write was last acknowledged; 0 before the first."""
        tick = self._tick()
        return float(tick["last"]) if tick else 0.0

    def wait_acknowledged(self, more: int = 100, *, timeout: float = 60) -> None:
        """Wait until that many more writes are acknowledged than are now."""
        before = self.acknowledged()

        def look() -> bool:
            self.require_running()
            return self.acknowledged() >= before + more

        until(f"{more} more writes are acknowledged ({self._other[-3:]})", look, timeout=timeout, every=0.1)

    def interrupted(self, since: float) -> float:
        """The longest time, in seconds, without an acknowledged write since then (of time.time()), as far as known."""
        ticks = [line["tick"] for line in self._lines if "tick" in line and line["tick"]["at"] > since]
        return max((max(tick["pause"], tick["at"] - tick["last"]) for tick in ticks), default=0.0)

    def require_running(self) -> None:
        """Raise AssertionError when the clients have ended by themselves."""
        failed = next((line["failed"] for line in self._lines if "failed" in line), None)
        assert failed is None and not self._over.is_set(), f"the probe has ended: {failed} {self._other[-5:]}"

    def stop(self, *, timeout: float = 180) -> Report:
        """Stop the clients; return their account, for which every acknowledged row was looked up."""
        self.wait_acknowledged(1, timeout=timeout)
        kube.execute(self._cluster.namespace, self._name, "probe", "kill", "-TERM", "1")

        def look() -> Report | None:
            failed = next((line["failed"] for line in self._lines if "failed" in line), None)
            if failed is not None:
                raise RuntimeError(f"the probe failed: {failed}")
            return next((Report.model_validate(line["report"]) for line in self._lines if "report" in line), None)

        return until("the probe's account", look, timeout=timeout, every=0.1)

    def _tick(self) -> dict[str, Any] | None:
        return next((line["tick"] for line in reversed(self._lines) if "tick" in line), None)

    def _phase(self) -> str:
        phase: str = kube.need("pod", self._name, self._cluster.namespace)["status"]["phase"]
        return phase

    def _follow(self, node: str, file: str) -> None:
        """Read the pod's log as it grows, from its node's disk: the API server may be what is missing."""
        # Ends with its input: what docker started in the node does not end with docker's client.
        script = f"tail -n +1 -F {file} 2>/dev/null & cat >/dev/null; kill $!"
        words = ["docker", "exec", "--interactive", node, "sh", "-c", script]
        pipe = subprocess.PIPE
        with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
            self._process = process
            assert process.stdout is not None
            whole = ""
            for line in process.stdout:
                _, _, tag, text = line.rstrip("\n").split(" ", 3)
                whole += text
                if tag != "F":  # a piece of a long line
                    continue
                try:
                    self._lines.append(json.loads(whole))
                except ValueError:
                    self._other.append(whole)
                whole = ""

    def _remove(self, *, wait: bool = False) -> None:
        self._over.set()
        if self._process is not None:
            self._process.kill()
        if self._follower is not None:
            self._follower.join(10)
        namespace = self._cluster.namespace
        kube.delete("pod", self._name, namespace, "--grace-period=0", "--force", wait=wait)

    def _instances(self) -> str:
        """All instances by name and address, tried in a new order each time: one may be there and not answer."""
        pods = self._cluster.pods()
        domain = f"{names.pods_service(self._cluster.name)}.{self._cluster.namespace}.svc"
        hosts = ",".join(f"{pod['metadata']['name']}.{domain}" for pod in pods)
        addresses = ",".join(pod["status"]["podIP"] for pod in pods)
        return f"host={hosts} hostaddr={addresses} target_session_attrs=read-write load_balance_hosts=random"

    def _configmap(self) -> kube.Object:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self._name, "namespace": self._cluster.namespace},
            "data": {_SCRIPT.name: _SCRIPT.read_text()},
        }

    def _pod(self) -> kube.Object:
        namespace, secret = self._cluster.namespace, self._cluster.secret()
        # The Service's address, which never changes: the DNS is not what is measured here.
        address = kube.need("service", self._service, namespace)["spec"]["clusterIP"]
        where = self._instances() if self._direct else f"host={self._service}.{namespace}.svc hostaddr={address}"
        conninfo = (
            f"{where} port={names.POSTGRES_PORT} "
            f"dbname={secret['dbname']} user={secret['username']} password=$(PROBE_PASSWORD) "
            f"sslmode=verify-full sslrootcert=/ca/ca.crt application_name={self._name}"
        )
        password = {"secretKeyRef": {"name": names.app_secret(self._cluster.name), "key": "password"}}
        env = [{"name": key, "value": value} for key, value in self._options.items()]
        env.append({"name": "PROBE_PASSWORD", "valueFrom": password})  # type: ignore[dict-item]
        env.append({"name": "PROBE_CONNINFO", "value": conninfo})
        env.append({"name": "PROBE_TABLE", "value": self._name.replace("-", "_")})
        # Only nodes with a zone have the image.
        place: list[kube.Object] = [{"key": names.LABEL_ZONE, "operator": "Exists"}]
        if self._avoid_node is not None:
            place.append({"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [self._avoid_node]})
        if self._only_node is not None:
            place.append({"key": "kubernetes.io/hostname", "operator": "In", "values": [self._only_node]})
        required = {"nodeSelectorTerms": [{"matchExpressions": place}]}
        return restricted_pod(
            self._name,
            namespace,
            command=["python3", "-u", f"/probe/{_SCRIPT.name}"],
            container="probe",
            env=env,
            mounts={
                "/probe": {"configMap": {"name": self._name}},
                "/ca": {
                    "secret": {
                        "secretName": names.app_secret(self._cluster.name),
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                },
            },
            affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
        )


def restricted_pod(
    name: str,
    namespace: str,
    *,
    command: list[str],
    container: str,
    env: list[dict[str, Any]] | None = None,
    mounts: dict[str, dict[str, Any]] | None = None,
    affinity: dict[str, Any] | None = None,
) -> kube.Object:
    """A pod of the instance image, which has Python, psycopg and psql, that meets the `restricted` standard."""
    volumes = [{"name": f"v{number}", **source} for number, source in enumerate((mounts or {}).values())]
    at = [{"name": f"v{number}", "mountPath": path, "readOnly": True} for number, path in enumerate(mounts or {})]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": names.POSTGRES_UID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "tolerations": [{"operator": "Exists"}],
            "affinity": affinity or {},
            "containers": [
                {
                    "name": container,
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": command,
                    "env": env or [],
                    "volumeMounts": at,
                    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "384Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
            "volumes": volumes,
        },
    }

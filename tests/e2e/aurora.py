"""An AuroraCluster under test: its manifest, what it looks like from outside, and its databases."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.e2e import kube
from tests.e2e.kube import Object, until
from tests.kind.context import kubectl

from aurora_operator.api.base import names

RESOURCE = f"{names.PLURAL}.{names.GROUP}"
SMALL: Mapping[str, Any] = {
    "instances": 3,
    "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
    "storage": {"size": "2Gi"},
    "durability": {"copies": 3},
}
"""As examples/demo.yaml, but without log copies: what two cores can carry beside a test."""


@dataclass(frozen=True)
class Leadership:
    """Where the writer's endpoint leads, as its EndpointSlice says."""

    epoch: int
    instance: str
    address: str


@dataclass
class AuroraCluster:
    """A handle; holds no state but its name."""

    name: str
    namespace: str
    seconds_to_ready: float = 0.0
    """Between applying the manifest and Ready, where a fixture has measured it."""
    notes: dict[str, Any] = field(default_factory=dict)

    # The resource

    def create(self, spec: Mapping[str, Any] = SMALL) -> None:
        """Apply a manifest with this spec."""
        metadata = {"name": self.name, "namespace": self.namespace}
        kube.apply({"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata, "spec": dict(spec)})

    def read(self) -> Object:
        """The resource as it is."""
        return kube.need(RESOURCE, self.name, self.namespace)

    @property
    def status(self) -> Object:
        """Its status."""
        found: Object = self.read().get("status", {})
        return found

    def change(self, spec: Mapping[str, Any]) -> None:
        """Merge into the spec; None removes a field."""
        kube.patch(RESOURCE, self.name, self.namespace, {"spec": dict(spec)})

    def annotate(self, annotation: str, value: str) -> None:
        """Set an annotation."""
        kube.patch(RESOURCE, self.name, self.namespace, {"metadata": {"annotations": {annotation: value}}})

    def delete(self, *, wait: bool = True) -> None:
        """Delete the resource."""
        kube.delete(RESOURCE, self.name, self.namespace, "--timeout=180s", wait=wait)

    def wait_condition(self, type: str, status: str, *, timeout: float, reason: str | None = None) -> Object:
        """Wait for a condition that has been said about the present generation; return it."""

        def look() -> Object | None:
            live = self.read()
            found = kube.condition(live, type)
            assert found is not None, f"no condition {type} in {live.get('status')}"
            current = found.get("observedGeneration", 0) >= live["metadata"]["generation"]
            right = found["status"] == status and reason in (None, found["reason"])
            assert current and right, f"{found} at generation {live['metadata']['generation']}"
            return found

        wanted = f"{type} is {status}" + (f" because of {reason}" if reason else "")
        return until(f"{self.namespace}/{self.name}: {wanted}", look, timeout=timeout)

    def wait_ready(self, timeout: float = 120) -> None:
        """Wait until it is as its present spec says."""
        self.wait_condition("Ready", "True", timeout=timeout)

    def events(self, reason: str | None = None) -> list[Object]:
        """Events on the resource, oldest first."""
        chosen = f"involvedObject.kind={names.KIND},involvedObject.name={self.name}"
        words = ["--namespace", self.namespace, "get", "events", "--field-selector", chosen, "--output", "json"]
        found: list[Object] = json.loads(kubectl(*words, timeout=60))["items"]
        return [event for event in found if reason in (None, event["reason"])]

    # Its pods

    def pods(self) -> list[Object]:
        """The pods of its instances, also those that are being deleted, by name."""
        selector = f"{names.LABEL_CLUSTER}={self.name},{names.LABEL_COMPONENT}=instance"
        return sorted(kube.items("pods", self.namespace, selector), key=lambda pod: str(pod["metadata"]["name"]))

    def instances(self) -> list[str]:
        """Names of the instances that have a StatefulSet."""
        found = kube.items(
            "statefulsets", self.namespace, f"{names.LABEL_CLUSTER}={self.name},{names.LABEL_COMPONENT}=instance"
        )
        return sorted(item["metadata"]["name"] for item in found)

    def serving(self) -> dict[str, str]:
        """Role of each instance whose pod is ready, as the pods' own labels say."""
        return {
            pod["metadata"]["labels"][names.LABEL_INSTANCE]: pod["metadata"]["labels"].get(names.LABEL_ROLE, "none")
            for pod in self.pods()
            if is_ready(pod)
        }

    def leadership(self) -> Leadership:
        """Who the writer is; known without the operator. Raises AssertionError while there is none."""
        slice = kube.need("endpointslice", names.writer_endpointslice(self.name), self.namespace)
        endpoints = slice.get("endpoints") or []
        assert len(endpoints) == 1, f"the writer's endpoints are {endpoints}"
        address = endpoints[0]["addresses"][0]
        pod = next((p for p in self.pods() if p.get("status", {}).get("podIP") == address), None)
        assert pod is not None, f"no pod has the writer's address {address}"
        epoch = int(slice["metadata"]["annotations"][names.ANNOTATION_EPOCH])
        return Leadership(epoch, pod["metadata"]["labels"][names.LABEL_INSTANCE], address)

    def wait_leadership(self, after: Leadership, *, timeout: float = 60) -> Leadership:
        """Wait for a leadership with a higher epoch than that."""

        def look() -> Leadership | None:
            now = self.leadership()
            return now if now.epoch > after.epoch else None

        return until(f"{self.name}: a leader follows {after}", look, timeout=timeout, every=0.2)

    def readers(self) -> list[str]:
        """Instances that serve as readers."""
        return sorted(name for name, role in self.serving().items() if role == "reader")

    def wait_roles(self, *, writers: int = 1, readers: int, timeout: float = 120) -> dict[str, str]:
        """Wait until that many serve as writers and readers; known without the operator."""

        def look() -> dict[str, str]:
            roles = self.serving()
            seen = sorted(roles.values())
            assert seen == ["reader"] * readers + ["writer"] * writers, roles
            return roles

        return until(f"{self.name}: {writers} writer and {readers} readers serve", look, timeout=timeout)

    def pod(self, instance: str) -> Object:
        """An instance's pod."""
        return kube.need("pod", names.pod_name(instance), self.namespace)

    def execute(self, instance: str, *command: str, timeout: float = 60) -> str:
        """Run a program beside an instance's PostgreSQL, and return what it printed. Raises CommandFailed."""
        return kube.execute(self.namespace, names.pod_name(instance), names.CONTAINER, *command, timeout=timeout)

    # Its databases

    def sql(self, instance: str, statement: str, *, database: str = "postgres", timeout: float = 60) -> str:
        """A statement as superuser, over the socket in the instance's own pod; columns by `|`, rows by lines."""
        words = ["psql", "-h", names.RUN_DIR, "-U", "postgres", "-d", database, "-XAt", "-v", "ON_ERROR_STOP=1"]
        return self.execute(instance, *words, "-c", statement, timeout=timeout).strip()

    def secret(self) -> dict[str, str]:
        """The connection Secret, decoded."""
        data = kube.need("secret", names.app_secret(self.name), self.namespace)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def started(self, instance: str) -> str:
        """When an instance's PostgreSQL was started."""
        return self.sql(instance, "SELECT pg_postmaster_start_time()")


def is_ready(pod: Object) -> bool:
    """Whether a pod is ready and stays."""
    ready = kube.condition(pod, "Ready")
    return ready is not None and ready["status"] == "True" and "deletionTimestamp" not in pod["metadata"]

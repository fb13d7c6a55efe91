"""AuroraSnapshots as a user makes them and waits for them."""

from __future__ import annotations

from tests.e2e import kube
from tests.e2e.kube import Object, until

from aurora_operator.api.base import names
from aurora_operator.api.snapshot import SNAPSHOT_KIND, SNAPSHOT_PLURAL

RESOURCE = f"{SNAPSHOT_PLURAL}.{names.GROUP}"


def apply(name: str, namespace: str, **spec: object) -> None:
    """Ask for one: `kubectl apply`."""
    metadata = {"name": name, "namespace": namespace}
    kube.apply({"apiVersion": names.API_VERSION, "kind": SNAPSHOT_KIND, "metadata": metadata, "spec": spec})


def wait_ready(name: str, namespace: str, timeout: float = 60) -> Object:
    """Until it is there and Ready: the resource."""

    def look() -> Object:
        live = kube.need(RESOURCE, name, namespace)
        found = kube.condition(live, "Ready")
        assert found is not None and found["status"] == "True", live.get("status")
        return live

    return until(f"snapshot {name} is Ready", look, timeout=timeout)

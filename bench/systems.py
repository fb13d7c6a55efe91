"""What bench.failover measures side by side: ours and Patroni, in one shape."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from tests.e2e.aurora import SMALL, AuroraCluster, Leadership
from tests.e2e.probe import Database

from aurora_operator.api.base import names
from bench.patroni.cluster import PatroniCluster

DEFAULT: Mapping[str, int] = {"ttl": 30, "loop_wait": 10, "retry_timeout": 10}
TIGHTEST: Mapping[str, int] = {"ttl": 20, "loop_wait": 1, "retry_timeout": 3}
"""The least that its documentation allows for each: loop_wait + 2 * retry_timeout <= ttl holds too."""


class System(Protocol):
    """A writer and two readers."""

    label: str

    @property
    def database(self) -> Measured:
        """The cluster itself."""

    def create(self) -> None:
        """Make it, if it is not there, and wait until it serves."""

    def prepare(self) -> None:
        """Before its turn."""

    def pod_of(self, instance: str) -> str:
        """An instance's pod."""

    def switch_over(self) -> float:
        """Ask for a switchover to anybody; return when (of time.time())."""


class Measured(Database, Protocol):
    """What the benchmark asks of a cluster, beyond what the clients do."""

    def leadership(self) -> Leadership:
        """Who the writer is. Raises AssertionError while there is none."""

    def wait_roles(self, *, writers: int = 1, readers: int, timeout: float = 120) -> dict[str, str]:
        """Wait until that many serve."""


class Aurora:
    """Ours."""

    label = "aurora"

    def __init__(self, namespace: str, copies: int) -> None:
        self._cluster = AuroraCluster("bench", namespace)
        self._copies = copies

    @property
    def database(self) -> AuroraCluster:
        return self._cluster

    def create(self) -> None:
        spec: dict[str, Any] = dict(SMALL) | {"durability": {"copies": self._copies}}
        self._cluster.create(spec)
        self._cluster.wait_ready(300)

    def prepare(self) -> None:
        self._cluster.wait_ready(180)

    def pod_of(self, instance: str) -> str:
        return names.pod_name(instance)

    def switch_over(self) -> float:
        at = time.time()
        self._cluster.annotate(names.ANNOTATION_SWITCHOVER, "any")
        return at


class Patroni:
    """Patroni's turns share one cluster: only its timings change."""

    def __init__(self, label: str, timings: Mapping[str, int], cluster: PatroniCluster) -> None:
        self.label = label
        self._timings = timings
        self._cluster = cluster

    @property
    def database(self) -> PatroniCluster:
        return self._cluster

    def create(self) -> None:
        if not self._cluster.pods():
            self._cluster.create()
        self._cluster.wait_ready()

    def prepare(self) -> None:
        self._cluster.wait_roles(readers=2, timeout=180)
        self._cluster.configure(self._timings)

    def pod_of(self, instance: str) -> str:
        return instance

    def switch_over(self) -> float:
        return self._cluster.switch_over()


def chosen(labels: list[str], namespace: str, copies: int) -> list[System]:
    """The systems of these labels. Raises KeyError."""
    patroni = PatroniCluster("patroni", namespace)
    systems: dict[str, System] = {
        "aurora": Aurora(namespace, copies),
        "patroni-default": Patroni("patroni-default", DEFAULT, patroni),
        "patroni-tightest": Patroni("patroni-tightest", TIGHTEST, patroni),
    }
    return [systems[label] for label in labels]


LABELS = ("aurora", "patroni-default", "patroni-tightest")

"""Health and metrics of a proxy's pod: plain HTTP, which tells nothing secret and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aurora_operator.net.http_server import Request, Response, Routes
from aurora_operator.proxy.pgbouncer import CONSOLE, ConsoleError
from aurora_operator.proxy.steering import Steering

POOLS: Final = {
    "cl_active": ("aurora_proxy_clients_active", "Clients that have a server session, or are idle"),
    "cl_waiting": ("aurora_proxy_clients_waiting", "Clients that wait for a server session"),
    "sv_active": ("aurora_proxy_sessions_active", "Server sessions that a client uses"),
    "sv_idle": ("aurora_proxy_sessions_idle", "Server sessions that nobody uses"),
    "maxwait": ("aurora_proxy_longest_wait_seconds", "How long the first of those who wait has waited"),
}


class _Metrics(Collector):
    def __init__(self, steering: Steering, pools: dict[str, dict[str, float]]) -> None:
        self._steering = steering
        self._pools = pools

    def collect(self) -> Iterable[Metric]:
        steering = self._steering
        yield GaugeMetricFamily("aurora_proxy_epoch", "Highest epoch heard of", steering.route.epoch)
        known = float(steering.writer is not None)
        yield GaugeMetricFamily("aurora_proxy_writer_known", "1 while sessions are led to a writer", known)
        yield GaugeMetricFamily("aurora_proxy_readers", "Readers that take sessions", len(steering.route.readers))
        held = steering.writer_gate.waiting + steering.reader_gate.waiting
        yield GaugeMetricFamily("aurora_proxy_sessions_held", "Server sessions that wait for an instance", held)
        for name, text, value in (
            ("aurora_proxy_writer_changes", "Times that sessions were led to another writer", steering.counts.writers),
            ("aurora_proxy_sessions_dropped", "Sessions ended with what was deposed or lost", steering.counts.dropped),
            ("aurora_proxy_pauses", "Planned switchovers that clients waited through", steering.counts.pauses),
        ):
            yield CounterMetricFamily(name, text, value)
        for column, (name, text) in POOLS.items():
            family = GaugeMetricFamily(name, text, labels=["endpoint"])
            for door, sums in self._pools.items():
                family.add_metric([door], sums[column])
            yield family


async def _pools(steering: Steering) -> dict[str, dict[str, float]]:
    """Of each endpoint, over all databases and users; without one whose PgBouncer does not answer."""
    found: dict[str, dict[str, float]] = {}
    for bouncer in steering.bouncers:
        try:
            rows = await bouncer.tell("SHOW POOLS")
        except ConsoleError:
            continue
        theirs = [row for row in rows if row["database"] != CONSOLE]
        sums = {column: sum(float(row[column]) for row in theirs) for column in POOLS}
        longest = max((float(row["maxwait"]) for row in theirs), default=0.0)
        found[bouncer.door.name] = {**sums, "maxwait": longest}
    return found


def routes(steering: Steering, ready: Callable[[], bool]) -> Routes:
    """`ready`: whether new clients may come."""

    async def livez(_: Request) -> Response:
        return _plain("ok")

    async def readyz(_: Request) -> Response:
        return _plain("ok") if ready() else _plain("not serving", 503)

    async def scrape(_: Request) -> Response:
        registry = CollectorRegistry()
        registry.register(_Metrics(steering, await _pools(steering)))
        return Response(body=generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    return {"/livez": {"GET": livez}, "/readyz": {"GET": readyz}, "/metrics": {"GET": scrape}}


def _plain(text: str, status: int = 200) -> Response:
    return Response(status, text.encode(), "text/plain; charset=utf-8")

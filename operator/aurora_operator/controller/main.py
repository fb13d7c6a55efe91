"""The operator's process: put the parts together, stand for election, act while elected."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Iterable
from typing import Any, Final, NoReturn, cast

import kopf
import prometheus_client

from aurora_operator.api.base import names
from aurora_operator.api.snapshot import SNAPSHOT_PLURAL
from aurora_operator.controller import handlers, logs
from aurora_operator.controller.agents import Agents
from aurora_operator.controller.config import Config, ConfigError
from aurora_operator.controller.fleet import Fleet, Key
from aurora_operator.controller.kubelet import VolumeStats, over_https
from aurora_operator.controller.metrics import Metrics
from aurora_operator.controller.reconcile import Reconciler
from aurora_operator.controller.snapshots import SnapshotReconciler
from aurora_operator.controller.turns import Turns
from aurora_operator.kube import client as kube
from aurora_operator.kube import observe
from aurora_operator.kube.cache import Cache, Changed, Follower, Store
from aurora_operator.kube.errors import KubeError
from aurora_operator.kube.events import Recorder
from aurora_operator.kube.lease import Election, LeaseLost
from aurora_operator.kube.resources import CHILDREN, CLUSTER, OPTIONAL, SNAPSHOT
from aurora_operator.kube.snapshots import Snapshots as VolumeSnapshots
from aurora_operator.kube.warnings import Warnings
from aurora_operator.planning.certificates import entropy
from aurora_operator.planning.plan import plan

log = logging.getLogger(__name__)

_LISTED_WITHIN: Final = 30.0  # seconds
_ELECTION_STUCK: Final = 60.0  # seconds without an attempt at the Lease


def main() -> None:
    """Run until told to stop. Exit code 1 when the Lease is lost, 2 when the configuration makes no sense."""
    try:
        config = Config.from_env(os.environ)
    except ConfigError as error:
        print(f"aurora-operator: {error}", file=sys.stderr)
        sys.exit(2)
    logs.configure(config.log_level)
    # The kernel gives a container's first process no default action for signals; Kopf sets its own later.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    asyncio.run(run(config))


async def run(config: Config) -> None:
    """Run the operator; returns after SIGTERM or SIGINT."""
    async with kube.connect() as api:
        await _wait_for_the_resource(api)
        election = Election(api, config.operator.namespace, config.lease_name, config.identity)
        metrics = Metrics(prometheus_client.REGISTRY, lambda: election.holding)
        agents = Agents()
        surroundings, recorder = observe.Surroundings(api), Recorder(api, config.pod_name)
        volume_snapshots = VolumeSnapshots(api)
        clusters = Store()
        reconciler = Reconciler(
            api=api,
            operator=config.operator,
            surroundings=surroundings.read,
            snapshots=volume_snapshots.read,
            agents=agents,
            say=recorder.say,
            plan=plan,
            supplies=entropy.fresh,
            watcher=metrics,
            volume_stats=_volume_stats(config, api),
            warnings=Warnings(api),
            may_write=lambda: election.holding,
        )
        fleet = Fleet(reconciler)
        followers = _followers(api, config.watch_namespaces, fleet.wake)
        reconciler.clusters = clusters
        reconciler.known = cache = Cache(api, followers, {CLUSTER: clusters})
        reconciler.turns = Turns(config.max_concurrent_clusters, lambda: fleet.known)
        snapshots = Fleet(
            SnapshotReconciler(
                api=api,
                operator=config.operator,
                surroundings=surroundings.read,
                classes=volume_snapshots.classes,
                agents=agents,
                say=recorder.say,
                may_write=lambda: election.holding,
            )
        )
        prometheus_client.start_http_server(config.metrics_port)
        # These tasks exist before Kopf starts, which ends all tasks that were born after it.
        leading = asyncio.create_task(_lead(election, cache, (fleet, snapshots)), name="election")
        following = [asyncio.create_task(f.run(), name=f"follow {f.resource.plural}") for f in followers]
        resync = asyncio.create_task(fleet.resync(lambda: _all_clusters(api, config.watch_namespaces)), name="resync")
        try:
            await kopf.operator(
                registry=handlers.registry,
                settings=handlers.settings(),
                memo=kopf.Memo(
                    fleet=fleet,
                    clusters=clusters,
                    snapshots=snapshots,
                    complaints=lambda: [*_complaints(fleet, election), *snapshots.complaints()],
                ),
                identity=cast(Any, config.identity),  # Kopf's default asks for a user name, which a container lacks
                standalone=True,
                clusterwide=not config.watch_namespaces,
                namespaces=config.watch_namespaces,
                liveness_endpoint=f"http://0.0.0.0:{config.health_port}/healthz",
            )
        finally:
            for task in (leading, resync, *following):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await fleet.stop()
            await snapshots.stop()
            await election.release()
            await agents.close()


def _volume_stats(config: Config, api: kube.Api) -> VolumeStats | None:
    if config.kubelet_account is None:
        return None
    return VolumeStats(api, config.operator.namespace, config.kubelet_account, over_https(verify=config.kubelet_verify))


def _followers(api: kube.Client, namespaces: tuple[str, ...], changed: Changed) -> list[Follower]:
    """Of all that a pass reads of a cluster, but for the AuroraCluster itself, of which Kopf tells."""
    kinds = (*CHILDREN.values(), *OPTIONAL.values())
    found: list[Follower] = []
    for namespace in namespaces or (None,):
        found += [Follower(api, kind, namespace, changed, selector=names.LABEL_CLUSTER) for kind in kinds]
        found.append(Follower(api, SNAPSHOT, namespace, changed))
    return found


async def _lead(election: Election, cache: Cache, fleets: Iterable[Fleet]) -> None:
    await election.acquire()
    if not await cache.listed(_LISTED_WITHIN):
        log.warning(
            "Not all objects could be listed within %g s: what is missing is read as it is needed", _LISTED_WITHIN
        )
    for fleet in fleets:
        fleet.activate()
    try:
        await election.keep()
    except LeaseLost as lost:
        _die(str(lost))


def _die(why: str) -> NoReturn:
    """At once: whoever has the Lease now must not meet a write of ours that was on its way."""
    log.critical("Stopping at once: %s", why)
    logging.shutdown()
    os._exit(1)


async def _wait_for_the_resource(api: kube.Api) -> None:
    """Helm makes the CRD and this process at about the same time, and Kopf looks for it only once."""
    said = False
    while True:
        try:
            if await kube.served(api, names.API_VERSION, names.PLURAL, SNAPSHOT_PLURAL):
                return
            why = "the API does not serve it"
        except KubeError as error:
            why = str(error)
        if not said:
            log.info("Waiting for the resource %s.%s: %s", names.PLURAL, names.GROUP, why)
            said = True
        await asyncio.sleep(1)


async def _all_clusters(api: kube.Api, namespaces: tuple[str, ...]) -> Iterable[Key]:
    found: list[Key] = []
    for namespace in namespaces or (None,):
        for cluster in await observe.list_objects(api, CLUSTER, namespace, cached=True):
            found.append((cluster["metadata"]["namespace"], cluster["metadata"]["name"]))
    return found


def _complaints(fleet: Fleet, election: Election) -> list[str]:
    silent = time.monotonic() - election.attempted_at
    stuck = [f"no attempt at the Lease for {silent:.0f} s"] if silent > _ELECTION_STUCK else []
    return [*fleet.complaints(), *stuck]

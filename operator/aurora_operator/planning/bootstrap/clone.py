"""`spec.cloneFrom`: how a cluster gets another one's data.

A clone holds everything that was committed before the operator took it up: the writer's position is noted first
(`ANNOTATION_POINT`), and only an instance that has flushed that far is copied. By a VolumeSnapshot of its volume where
the driver makes any, which PostgreSQL recovers from as from a crash; else by pg_basebackup, with a certificate that the
source's authority issues for that purpose and that nothing else is reached with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from aurora_operator.api.agent.origin import CloneOrigin
from aurora_operator.api.base import names
from aurora_operator.api.base.lsn import format_lsn
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.status import OriginStatus
from aurora_operator.planning.bootstrap.first_data import (
    ANNOTATION_FALLBACK,
    ANNOTATION_POINT,
    Beginning,
    begun,
    moment,
    origin_credentials,
    origin_snapshot,
    tidy,
)
from aurora_operator.planning.bootstrap.seed_candidates import Means, fit_copies, means_for, readers_are_behind
from aurora_operator.planning.certificates import pki
from aurora_operator.planning.membership.placement import allowed_zones
from aurora_operator.planning.model.plan_model import ObjectRef, Raw, Source, Supplies, parse_time
from aurora_operator.planning.objects.common import annotation, decode_data, is_leaving
from aurora_operator.planning.objects.snapshot import (
    build_volume_snapshot,
    data_source,
    error_of,
    is_usable,
    least_bytes,
    lsn_of,
    zone_of,
)
from aurora_operator.planning.objects.volume import claim_name
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes.storage import requested_bytes

CREDENTIALS_LIFE: Final = timedelta(days=1)
PATIENCE: Final = timedelta(minutes=2)
"""How long a driver that reports failure, or does not make a volume, may go on trying."""


def source_wanted(cluster: Raw, children: Mapping[str, Mapping[str, Raw]]) -> str | None:
    """The cluster that planning must know of to go on with this one, or None."""
    spec = cluster.get("spec") or {}
    wanted = ((spec.get("cloneFrom") or spec.get("restoreFrom")) or {}).get("cluster")
    return str(wanted) if wanted and not begun(cluster, children) else None


def source_facts(facts: Facts) -> Facts | None:
    """The source, understood as a cluster of its own."""
    source: Source | None = facts.observed.source
    if source is None:
        return None
    seen = replace(facts.observed, cluster=source.cluster, children=source.children, agents=source.agents, source=None)
    return Facts(seen, facts.now)


def plan_clone(
    spec: AuroraClusterSpec, bootstrap: int, facts: Facts, supplies: Supplies, before: OriginStatus | None
) -> Beginning:
    """The next step towards the first data; afterwards, what is left of the way there is removed."""
    if spec.clone_from is None:
        return Beginning()
    status = before or OriginStatus(source=f"cluster {spec.clone_from.cluster}", started_at=moment(facts))
    if facts.initialised:
        return tidy(facts, status)
    work = _Work(spec, spec.clone_from.cluster, bootstrap, facts, supplies, status)
    return work.plan()


@dataclass(frozen=True)
class _Work:
    spec: AuroraClusterSpec
    source: str
    bootstrap: int
    facts: Facts
    supplies: Supplies
    status: OriginStatus

    def plan(self) -> Beginning:
        facts = self.facts
        claim = facts.observed.child("PersistentVolumeClaim", claim_name(self._instance))
        snapshot = origin_snapshot(facts)
        if claim is not None and is_leaving(claim):
            return self._wait("A volume that could not be made is being removed.")
        if claim is not None and (claim["spec"].get("dataSource") or {}).get("kind") == "VolumeSnapshot":
            stuck = _never_made(claim, facts)
            return self._fall_back(stuck, claim, snapshot) if stuck is not None else self._made(snapshot)
        if claim is not None:
            return self._copy()
        if self._fallback is None and self.spec.clone_from and self.spec.clone_from.type == "copy-on-write":
            return self._snapshot(snapshot)
        return self._copy()

    @property
    def _instance(self) -> str:
        return names.instance_name(self.facts.name, self.bootstrap)

    @property
    def _fallback(self) -> str | None:
        return annotation(self.facts.observed.cluster, ANNOTATION_FALLBACK)

    @property
    def _point(self) -> int | None:
        text = annotation(self.facts.observed.cluster, ANNOTATION_POINT) or ""
        return int(text) if text.isdecimal() else None

    def _wait(self, message: str, **changes: Any) -> Beginning:
        return replace(Beginning(ready=False, bootstrap=self.bootstrap, status=self.status, message=message), **changes)

    def _copies(self) -> tuple[Copy, ...] | Beginning:
        """Copies of the source that hold all that the clone must."""
        theirs = source_facts(self.facts)
        if theirs is None:
            return self._wait(f"Waiting for the cluster {self.source}, which does not exist (any more).")
        if theirs.leader is None:
            return self._without_writer(theirs)
        point = self._point
        if point is None:
            note = {ANNOTATION_POINT: str(theirs.leader.lsn)}
            return self._wait(f"The clone will hold all that {self.source} has committed now.", annotations=note)
        copies = fit_copies(theirs, point)
        if not copies or readers_are_behind(theirs, point):
            return self._wait(f"Waiting for an instance of {self.source} that has all up to {format_lsn(point)}.")
        return copies

    def _without_writer(self, theirs: Facts) -> Beginning:
        power = theirs.settings.power if theirs.settings is not None else "on"
        if power == "paused":
            asked = annotation(theirs.observed.cluster, names.ANNOTATION_WAKE) is not None
            return self._wait(f"{self.source} is paused; it is woken for it.", wakes=None if asked else self.source)
        if power == "stopped":
            return self._wait(f"{self.source} is stopped: set stopped: false there, and the clone is made.")
        return self._wait(f"Waiting for a writer of {self.source}, which none is known of now.")

    # --- by a snapshot of a volume ---

    def _snapshot(self, snapshot: Raw | None) -> Beginning:
        facts = self.facts
        if snapshot is not None:
            error, age = error_of(snapshot), facts.now - parse_time(snapshot["metadata"]["creationTimestamp"])
            if is_leaving(snapshot) or (error is not None and age > PATIENCE):
                return self._fall_back(f"the snapshot failed: {error}", None, snapshot)
            if not is_usable(snapshot):
                why = f" So far it says: {error}" if error else ""
                return self._wait(f"The storage driver makes a snapshot of a volume of {self.source}.{why}")
            return self._made(snapshot)
        copies = self._copies()
        if isinstance(copies, Beginning):
            return copies
        near = [c for c in copies if self._may_be_in(c.zone)]
        if not near:
            return self._fall_back(f"no instance of {self.source} is in a zone that this cluster may use", None, None)
        means = means_for(near[0], facts.observed.storage_classes, facts.observed.snapshot_classes)
        if isinstance(means, str):
            return self._fall_back(means, None, None)
        other = self._other_driver(means)
        if other is not None:
            return self._fall_back(other, None, None)
        made = build_volume_snapshot(
            facts.identity,
            names.origin_snapshot(facts.name),
            claim=claim_name(near[0].name),
            snapshot_class=means.snapshot_class,
            zone=near[0].zone,
            lsn=self._point or 0,
        )
        return self._wait(f"A snapshot of the volume of {near[0].name} is being made.", objects=(made,))

    def _may_be_in(self, zone: str | None) -> bool:
        asked, allowed = self.spec.zone_of(self.bootstrap), allowed_zones(self.spec, self.facts.zones)
        return zone is None or (zone == asked if asked is not None else zone in allowed)

    def _other_driver(self, means: Means) -> str | None:
        """Why a snapshot of the source's driver would be of no use here."""
        asked, classes = self.spec.storage.storage_class_name, self.facts.observed.storage_classes
        mine = next((c for c in classes if (c.name == asked if asked is not None else c.default)), None)
        if mine is not None and mine.provisioner == means.driver:
            return None
        return f"the volumes of {self.source} are of the driver {means.driver}, and this cluster's are of another"

    def _made(self, snapshot: Raw | None) -> Beginning:
        """The snapshot is there: the bootstrap instance's volume can be made from it, or was."""
        before = self.facts.settings.origin if self.facts.settings is not None else None
        lsn = lsn_of(snapshot) if snapshot is not None else before.lsn if before is not None else 0
        origin = CloneOrigin(source=f"cluster {self.source}", lsn=lsn, running=True)
        return Beginning(
            origin=origin,
            ready=before == origin,
            bootstrap=self.bootstrap,
            zone=zone_of(snapshot) if snapshot is not None else None,
            data_source=data_source(
                names.origin_snapshot(self.facts.name) if snapshot is None else snapshot["metadata"]["name"]
            ),
            least_bytes=least_bytes(snapshot) if snapshot is not None else 0,
            status=self._said("VolumeSnapshot", lsn),
            message=f"The first instance begins with a snapshot of {self.source}.",
        )

    def _said(self, method: str, lsn: int) -> OriginStatus:
        return self.status.model_copy(
            update={"method": method, "consistency_point": format_lsn(lsn), "fallback": self._fallback}
        )

    def _fall_back(self, why: str, claim: Raw | None, snapshot: Raw | None) -> Beginning:
        """Make a full copy after all. A claim that never became a volume holds nothing."""
        delete = [
            ObjectRef(kind, raw["metadata"]["name"], raw["metadata"].get("uid"))
            for kind, raw in (("PersistentVolumeClaim", claim), ("VolumeSnapshot", snapshot))
            if raw is not None and not is_leaving(raw)
        ]
        return self._wait(
            f"A full copy is being made: {why}.", annotations={ANNOTATION_FALLBACK: why}, delete=tuple(delete)
        )

    # --- by copying everything ---

    def _copy(self) -> Beginning:
        copies = self._copies()
        if isinstance(copies, Beginning):
            # What was begun goes on: the agent tries again until the source is back.
            before = self.facts.settings.origin if self.facts.settings is not None else None
            return replace(copies, origin=before)
        facts, theirs = self.facts, source_facts(self.facts)
        assert theirs is not None  # noqa: S101  there are copies
        hosts = {names.pod_host(theirs.name, theirs.identity.namespace, c.name): c for c in copies}
        before = facts.settings.origin if facts.settings is not None else None
        host = before.host if isinstance(before, CloneOrigin) and before.host in hosts else next(iter(hosts))
        origin = CloneOrigin(source=f"cluster {self.source}", lsn=self._point or 0, running=True, host=host)
        data = self._credentials(theirs)
        if data is None:
            return self._wait(f"Waiting for the certificates of {self.source}.")
        there = decode_data(facts.observed.child("Secret", names.origin_secret(facts.name)))
        return Beginning(
            origin=origin,
            ready=before == origin and there == data,
            bootstrap=self.bootstrap,
            least_bytes=max((requested_bytes(c.claim) for c in copies if c.claim is not None), default=0),
            objects=(origin_credentials(facts, data),),
            status=self._said("FullCopy", origin.lsn),
            message=f"All data are being copied from {hosts[host or ''].name}.",
        )

    def _credentials(self, theirs: Facts) -> dict[str, str] | None:
        """What lets the clone copy the source: a client certificate of the source's authority, for one day."""
        facts = self.facts
        ca = decode_data(theirs.observed.child("Secret", names.ca_secret(theirs.name)))
        tls = decode_data(theirs.observed.child("Secret", names.tls_secret(theirs.name)))
        authority = pki.Pair(ca.get("ca.crt", ""), ca.get("ca.key", ""))
        if not pki.is_pair(authority) or not tls.get("ca.crt"):
            return None
        there = decode_data(facts.observed.child("Secret", names.origin_secret(facts.name)))
        pair = pki.Pair(there.get("replication.crt", ""), there.get("replication.key", ""))
        fresh = pki.is_pair(pair) and pki.signed_by(pair.certificate, authority.certificate)
        if not fresh or pki.needs_renewal(pair.certificate, facts.now):
            key = self.supplies.private_keys[pki.CLONE_KEY]
            pair = pki.make_client(names.REPLICATION_USER, key, authority, facts.now, CREDENTIALS_LIFE)
        return {"ca.crt": tls["ca.crt"], "replication.crt": pair.certificate, "replication.key": pair.key}


def _never_made(claim: Raw, facts: Facts) -> str | None:
    """Why a claim that was to be made from a snapshot will not become a volume, or None if it has, or may."""
    if claim["spec"].get("volumeName") or (claim.get("status") or {}).get("phase") != "Pending":
        return None
    created = claim["metadata"].get("creationTimestamp")
    if created is None or facts.now - parse_time(created) < PATIENCE:
        return None
    return f"the driver made no volume from the snapshot within {PATIENCE.seconds} s"


def problems(spec: AuroraClusterSpec, facts: Facts) -> list[str]:
    """Why the clone cannot be made as it is asked for, a sentence each."""
    if spec.clone_from is None or facts.initialised:
        return []
    name, theirs = spec.clone_from.cluster, source_facts(facts)
    if name == facts.name:
        return ["cloneFrom.cluster is this cluster itself: name another one."]
    if theirs is None:
        where = facts.identity.namespace
        return [f"cloneFrom: there is no AuroraCluster {name} in namespace {where}: create it, or name another."]
    settings, found = theirs.settings, []
    if settings is not None:
        for field_name, mine, other in (
            ("databaseName", spec.database_name, settings.database_name),
            ("masterUsername", spec.master_username, settings.master_username),
        ):
            if mine != other:
                found.append(f"{field_name} of a clone must be that of {name}: set it to {other}.")
    return found

"""Whether a spec can be carried out here. A spec is accepted whole or not at all: until then, the last accepted one
(kept in the settings' ConfigMap) stays in force, so that a bad edit changes nothing.

Once accepted, a spec is not judged again: a zone that is lost later is a fault, not an error of the user.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aurora_operator.api.base import reasons
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.spec.durability import default_write_quorum, write_quorum_problem
from aurora_operator.planning.backup import rehearsal
from aurora_operator.planning.bootstrap import clone, from_snapshot
from aurora_operator.planning.membership.copy_count import copies_of, zones_of
from aurora_operator.planning.model.plan_model import CheckParameters, Raw
from aurora_operator.planning.objects.common import digest
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.view.parsing import parse_spec
from aurora_operator.planning.volumes.storage import requested_bytes
from aurora_operator.planning.volumes.volume_expansion import class_of


@dataclass(frozen=True)
class Verdict:
    """What is in force, and what is said about what was asked."""

    spec: AuroraClusterSpec | None
    """The spec to carry out; None if none was ever accepted."""
    raw: Raw | None
    """The same as it was written."""
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    check: CheckParameters | None = None
    """A question to PostgreSQL that must be answered first."""


def judge(facts: Facts) -> Verdict:
    """What to carry out, and condition SpecAccepted."""
    raw: Mapping[str, Any] = facts.observed.cluster.get("spec") or {}
    accepted = facts.accepted
    before = parse_spec(facts, accepted) if accepted is not None else None
    old = before if isinstance(before, AuroraClusterSpec) else None
    wanted = parse_spec(facts, raw)
    if not isinstance(wanted, AuroraClusterSpec):
        return Verdict(old, accepted if old else None, "False", reasons.INVALID_SPEC, " ".join(wanted))
    if old is not None and accepted == raw:
        return _in_force(facts, wanted, raw)
    problems = (*changes(old, wanted, facts), *_new(impossible(wanted, facts), old, facts))
    if problems:
        return Verdict(old, accepted if old else None, "False", reasons.IMPOSSIBLE_SPEC, " ".join(problems))
    return _ask(facts, wanted, raw, old, accepted)


def _new(problems: tuple[str, ...], old: AuroraClusterSpec | None, facts: Facts) -> tuple[str, ...]:
    """Those that the accepted spec does not have: what an edit leaves as it was is no reason against the edit."""
    if not problems or old is None:
        return problems
    known = impossible(old, facts)
    return tuple(problem for problem in problems if problem not in known)


def _in_force(facts: Facts, spec: AuroraClusterSpec, raw: Raw) -> Verdict:
    revision = facts.settings.revision if facts.settings is not None else 0
    for agent in facts.answering:
        if agent.parameters_error and agent.settings_revision >= revision:
            message = f"PostgreSQL on {agent.name} refuses parameters: {agent.parameters_error}"
            return Verdict(spec, raw, "False", reasons.PARAMETERS_REFUSED, message)
    message = "The spec is in force."
    raised = facts.leader.raised_parameters if facts.leader is not None else {}
    if raised:
        values = ", ".join(f"{name} stays {value}" for name, value in sorted(raised.items()))
        message = (
            f"The spec is in force, but {values}: PostgreSQL starts no standby with less than its primary had, so this "
            "can only be raised."
        )
    return Verdict(spec, raw, "True", reasons.ACCEPTED, message)


def _ask(
    facts: Facts, wanted: AuroraClusterSpec, raw: Raw, old: AuroraClusterSpec | None, accepted: Raw | None
) -> Verdict:
    """Accept, once PostgreSQL has nothing against new parameters."""
    yes = Verdict(wanted, raw, "True", reasons.ACCEPTED, "The spec is in force.")
    if not facts.initialised or _parameters_known(facts, wanted, old):
        return yes
    fingerprint = digest(wanted.parameters)
    result = facts.observed.parameter_checks.get(fingerprint)
    if result is not None and not result.errors:
        return yes
    kept = accepted if old else None
    if result is not None:
        errors = " ".join(f"{name}: {text}" for name, text in sorted(result.errors.items()))
        message = f"PostgreSQL refuses parameters, and the cluster goes on as it was. {errors}"
        return Verdict(old, kept, "False", reasons.PARAMETERS_REFUSED, message)
    asked = _whom_to_ask(facts)
    if asked is None:
        message = "The new parameters wait for an instance that can be asked whether PostgreSQL takes them."
        return Verdict(old, kept, "Unknown", reasons.CHECKING_PARAMETERS, message)
    check = CheckParameters(asked, dict(sorted(wanted.parameters.items())), fingerprint)
    return Verdict(
        old, kept, "Unknown", reasons.CHECKING_PARAMETERS, f"{asked} is asked about the new parameters.", check
    )


def _parameters_known(facts: Facts, wanted: AuroraClusterSpec, old: AuroraClusterSpec | None) -> bool:
    if old is not None and wanted.parameters.items() <= old.parameters.items():
        # Only taken back: this may be what lets PostgreSQL come up again, so that nobody is there to be asked. Agents
        # ask theirs before they take anything.
        return True
    if not wanted.parameters:
        return True
    # The ConfigMap may be gone; PostgreSQL still runs with what it once took.
    return old is None and facts.leader is not None and facts.leader.applied_parameters == wanted.parameters


def _whom_to_ask(facts: Facts) -> str | None:
    if facts.leader is not None:
        return facts.leader.name
    followers = sorted(a.name for a in facts.answering if a.phase in ("Following", "Detached"))
    return followers[0] if followers else None


def changes(old: AuroraClusterSpec | None, new: AuroraClusterSpec, facts: Facts) -> tuple[str, ...]:
    """What cannot change. The API server refuses most of it already, but only if it saw the old spec."""
    if old is None:
        return ()
    problems = []
    for field in ("database_name", "master_username"):
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            camel = "databaseName" if field == "database_name" else "masterUsername"
            problems.append(f"{camel} cannot change once the cluster exists: put {before} back.")
    if new.storage.size_bytes < old.storage.size_bytes:
        problems.append(f"storage.size cannot shrink, because volumes only grow: use {old.storage.size} or more.")
    if new.storage.storage_class_name != old.storage.storage_class_name:
        before = old.storage.storage_class_name or "nothing"
        problems.append(f"storage.storageClassName cannot change once the cluster exists: put {before} back.")
    if _minor(new.engine_version) < _minor(old.engine_version) and "." in new.engine_version:
        problems.append(
            f"engineVersion cannot go back from {old.engine_version} to {new.engine_version}, which can damage the "
            f"data: keep {old.engine_version} or a newer one."
        )
    return tuple(problems)


def _minor(version: str) -> int:
    return int(version.partition(".")[2] or 0)


def impossible(spec: AuroraClusterSpec, facts: Facts) -> tuple[str, ...]:
    """What this Kubernetes cluster cannot give, a sentence each, saying what it can."""
    return (
        *_zone_problems(spec, facts),
        *_quorum_problems(spec, facts),
        *_storage_problems(spec, facts),
        *clone.problems(spec, facts),
        *from_snapshot.problems(spec, facts),
        *rehearsal.problems(spec),
    )


def _quorum_problems(spec: AuroraClusterSpec, facts: Facts) -> list[str]:
    """Where the number of copies follows from the zones, only here can be said whether a write quorum fits it."""
    wanted, copies = spec.durability.write_quorum, copies_of(spec, facts)
    if wanted is None or default_write_quorum(copies) <= wanted <= copies:
        return []
    count = zones_of(spec, facts)
    where = f"in {count} zones" if count > 1 else "in a single zone"
    return [
        f"{write_quorum_problem(copies)} There are {copies} by default {where}: set durability.copies to have another "
        "number."
    ]


def _zone_problems(spec: AuroraClusterSpec, facts: Facts) -> list[str]:
    zones, durability = facts.zones, spec.durability
    there = f"the zones are {', '.join(zones)}" if zones else "no node has the label topology.kubernetes.io/zone"
    problems = [
        f"Zone {zone} in durability.availabilityZones does not exist: {there}."
        for zone in durability.availability_zones
        if zone not in zones
    ]
    usable = durability.availability_zones or zones
    if durability.zones is not None and durability.zones > max(len(usable), 1):
        problems.append(
            f"durability.zones is {durability.zones}, but {there}: "
            f"use {max(len(usable), 1)}, or add nodes in another zone."
        )
    for item in spec.instance_settings:
        zone, copy = item.availability_zone, facts.copies.get(item.instance)
        if zone is None:
            continue
        if zone not in zones:
            problems.append(f"Zone {zone} of instance {item.instance} does not exist: {there}.")
        elif copy is not None and copy.placed and copy.zone not in (None, zone):
            problems.append(
                f"Instance {item.instance} is in {copy.zone}, and its volume cannot move to {zone}: "
                f"name another number for an instance in {zone}, which replaces one that is not named."
            )
    return problems


def _storage_problems(spec: AuroraClusterSpec, facts: Facts) -> list[str]:
    classes, wanted = facts.observed.storage_classes, spec.storage.storage_class_name
    listed = ", ".join(sorted(c.name for c in classes)) or "none"
    if wanted is not None and all(c.name != wanted for c in classes):
        return [f"StorageClass {wanted} does not exist: storage.storageClassName can be one of {listed}."]
    if wanted is None and not any(c.default for c in classes) and not facts.existing:
        return [f"There is no default StorageClass: set storage.storageClassName to one of {listed}."]
    for copy in facts.copies.values():
        if copy.claim is None or not copy.exists:
            continue
        used = class_of(copy.claim, classes)
        if used is not None and not used.expandable and requested_bytes(copy.claim) < spec.storage.size_bytes:
            return [
                f"storage.size cannot grow: StorageClass {used.name} does not allow volume expansion. "
                "Keep the old size, or set allowVolumeExpansion in the class."
            ]
    return []

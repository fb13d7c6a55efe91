"""Which copies are lost: not merely silent, but on a node, a volume or a disk that is gone, and for long enough.

Since when is remembered in the status of the members. A copy that was given up counts again once it streams: until
then whoever took its vote keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.objects.common import annotation, is_leaving
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts

SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
"""On a claim, put there by the scheduler: the node for which its volume was made."""


@dataclass(frozen=True)
class Losses:
    """What is lost."""

    since: Mapping[str, datetime] = field(default_factory=dict)
    """Copies that seem lost, and since when."""
    why: Mapping[str, str] = field(default_factory=dict)
    """The evidence, as half a sentence."""
    lost: frozenset[str] = frozenset()
    """Those that are not waited for any longer: their votes go elsewhere."""
    broken: frozenset[int] = frozenset()
    """Instances among them whose volume does not come back either: others take their place."""


NONE: Final = Losses()


def find_losses(spec: AuroraClusterSpec, facts: Facts) -> Losses:
    """What is lost as of now."""
    delay = timedelta(seconds=spec.durability.repair_delay_seconds)
    before = {m.name: m.missing_since for m in facts.before.members if m.missing_since is not None}
    since: dict[str, datetime] = {}
    why: dict[str, str] = {}
    lost: set[str] = set()
    broken: set[int] = set()
    for copy in facts.all_copies.values():
        ill = _ill(copy)
        if not copy.exists or copy.retired or (facts.streaming(copy.name) and ill is None):
            continue
        reason, old = ill or _gone(copy, facts), before.get(copy.name)
        given_up = old is not None and facts.now - old >= delay
        if reason is None and not given_up and not (old is not None and facts.leader is None):
            continue
        since[copy.name] = old or facts.now.replace(microsecond=0)
        why[copy.name] = reason or "it is not up to date again yet"
        # One that is full may only have to wait until its volume has grown.
        if given_up or (ill is not None and copy.kind == "log" and copy.ailment != "full"):
            lost.add(copy.name)
            if copy.kind == "instance" and (volume_gone(copy, facts) is not None or ill is not None):
                broken.add(copy.ordinal)
    return Losses(since, why, frozenset(lost), frozenset(broken))


def _ill(copy: Copy) -> str | None:
    """What its agent says is wrong with its volume, where only another volume helps. A damaged instance is cloned
    again by its agent; a full one needs more room, not another copy."""
    ailment = copy.ailment
    if ailment == "disk" or (copy.kind == "log" and ailment in ("corruption", "full")):
        return f"its volume is ill ({ailment})"
    return None


def _gone(copy: Copy, facts: Facts) -> str | None:
    """Why it cannot be there: its node, or its volume. An agent that answers is there."""
    if copy.agent is not None:
        return None
    volume = volume_gone(copy, facts)
    if volume is not None:
        return volume
    node = facts.node_of(copy.name)
    if node is None:
        return None
    found = next((n for n in facts.observed.nodes if n.name == node), None)
    if found is None:
        return f"its node {node} is gone"
    return None if found.ready or copy.pod_ready else f"its node {node} is not ready"


def volume_gone(copy: Copy, facts: Facts) -> str | None:
    """Why its volume cannot come back, or None."""
    claim = copy.claim
    if claim is None or is_leaving(claim):
        return None
    if (claim.get("status") or {}).get("phase") == "Lost":
        return "its volume is lost"
    node = annotation(claim, SELECTED_NODE)
    unschedulable = copy.stuck is not None and "finds no node" in copy.stuck
    if node is not None and unschedulable and all(n.name != node for n in facts.observed.nodes):
        return f"its volume was made for node {node}, which is gone, and no other node can use it"
    return None


def sentences(spec: AuroraClusterSpec, losses: Losses, facts: Facts) -> tuple[str, ...]:
    """What is lost and what is done about it, a sentence a copy."""
    delay = timedelta(seconds=spec.durability.repair_delay_seconds)
    named = {item.instance for item in spec.instance_settings}
    found = []
    for name, since in sorted(losses.since.items()):
        copy = facts.all_copies[name]
        where = f" in {copy.zone}" if copy.zone else ""
        if name not in losses.lost:
            then = f"its vote goes elsewhere at {since + delay:%H:%M:%S} UTC"
        elif copy.kind == "log":
            then = "another log copy takes its place"
        elif copy.ordinal in losses.broken and copy.ordinal in named:
            then = (
                f"a log copy has its vote; remove instance {copy.ordinal} from instanceSettings to have it replaced, "
                "its volume is kept"
            )
        elif copy.ordinal in losses.broken:
            then = "another instance takes its place, and its volume is kept"
        else:
            then = "a log copy has its vote until it is back"
        found.append(f"{name}{where} is missing, {losses.why[name]}: {then}.")
    return tuple(found)

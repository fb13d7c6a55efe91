"""How many copies there should be where the spec does not say: by the zones that exist, or once existed.

A zone that vanishes (its nodes are deleted, or the API server has yet to hear of them) must not make a cluster smaller.
So what was chosen is remembered, beside the settings; the zones of what exists remember it too.
"""

from __future__ import annotations

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.spec.durability import DEFAULT_ZONES
from aurora_operator.planning.membership.placement import allowed_zones
from aurora_operator.planning.view.facts import Facts


def zones_of(spec: AuroraClusterSpec, facts: Facts) -> int:
    """How many zones the copies are for: those that exist or did when the cluster was smaller than now, as far as the
    spec wants to use them; 0 where nodes have no zones."""
    named = spec.durability.availability_zones
    used = {copy.zone for copy in facts.all_copies.values() if copy.exists and copy.zone is not None}
    there = len({*allowed_zones(spec, facts.zones), *(used if not named else ())})
    remembered = 0 if named else facts.zones_before
    return min(max(there, remembered), spec.durability.zones or DEFAULT_ZONES)


def copies_of(spec: AuroraClusterSpec, facts: Facts) -> int:
    """V: how many copies should count for the quorum."""
    return spec.voting_copies(zones_of(spec, facts))

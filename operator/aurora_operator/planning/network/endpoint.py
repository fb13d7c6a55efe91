"""The writer's EndpointSlices. The leader's agent writes the one of the writer's Service; we only make it, and repair
it when it differs from what the open leader says. Never with an epoch below the one that is there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base import names
from aurora_operator.planning.model.plan_model import Raw
from aurora_operator.planning.objects.common import annotation, is_leaving, label
from aurora_operator.planning.objects.network import SLICE_MANAGER, build_endpointslice, divert
from aurora_operator.planning.view.facts import Facts

_GRACE: Final = timedelta(seconds=10)
"""For so long the Service over all instances leads to a writer that has gone, while another one is elected."""


def new_slice(facts: Facts) -> dict[str, Any] | None:
    """The slice to create, if there is none. It is created, not applied: whatever an agent makes first stays."""
    if facts.observed.child("EndpointSlice", names.writer_endpointslice(facts.name)) is not None:
        return None
    leader = _leader(facts)
    return build_endpointslice(facts.identity, leader, node=_node(facts, leader))


def repaired_slice(facts: Facts) -> dict[str, Any] | None:
    """The slice to apply, if the one there is wrong. It has a resourceVersion, so that an agent's newer one wins."""
    there, leader = facts.observed.child("EndpointSlice", names.writer_endpointslice(facts.name)), _leader(facts)
    if there is None or is_leaving(there) or leader is None:
        return None
    if _epoch(there) > leader.epoch or _says(there, facts, leader):
        return None
    version = there["metadata"].get("resourceVersion")
    return build_endpointslice(facts.identity, leader, node=_node(facts, leader), resource_version=version)


def diverted_slice(facts: Facts, ip: str, *, waking: bool = False) -> dict[str, Any] | None:
    """The slice to apply so that the gateway at `ip` gets the writer's clients, if it does not lead there yet.

    Not while it wakes, once a new leader's agent has written its epoch there: the gateway looks for the writer in it.
    """
    there = facts.observed.child("EndpointSlice", names.writer_endpointslice(facts.name))
    if there is None or is_leaving(there) or (waking and _epoch(there) > (facts.before.epoch or 0)):
        return None
    if [e.get("addresses") for e in there.get("endpoints") or []] == [[ip]]:
        return None
    return divert(there, ip)


def any_slice(facts: Facts, *, diverted: bool, custom: str | None = None, member: bool = True) -> dict[str, Any] | None:
    """The writer's part in the Service over all instances, or in a `custom` endpoint that it is a `member` of; None
    while what is there stays. Empty when the Service leads to the gateway, or when the writer has gone for long.

    Were the writer's pod selected there, Kubernetes would take it out at its death, and kube-proxy, which takes in one
    change a second at most, would let clients through to the next writer up to a second later.
    """
    name = names.any_endpointslice(facts.name) if custom is None else names.custom_endpointslice(facts.name, custom)
    there, leader = facts.observed.child("EndpointSlice", name), _leader(facts)
    if leader is not None and not member:
        leader = None
    elif diverted or leader is None:
        if there is None or not (diverted or _gone(facts, there)):
            return None
        leader = None
    return build_endpointslice(facts.identity, leader, node=_node(facts, leader), among_all=True, custom=custom)


def _gone(facts: Facts, there: Raw) -> bool:
    """Whether no writer has been open for a while, and the last one's pod does not serve."""
    if facts.closed_for < _GRACE:
        return False
    led_to = {address for endpoint in there.get("endpoints") or [] for address in endpoint.get("addresses") or []}
    ready = (copy.pod for copy in facts.copies.values() if copy.pod is not None and copy.pod_ready)
    return led_to.isdisjoint(pod["status"].get("podIP") for pod in ready)


def _leader(facts: Facts) -> AgentStatus | None:
    """The open leader, once it says where it is."""
    return facts.leader if facts.leader is not None and facts.leader.pod_ip else None


def _epoch(there: Raw) -> int:
    text = annotation(there, names.ANNOTATION_EPOCH) or "0"
    return int(text) if text.isdigit() else 0


def _says(there: Raw, facts: Facts, leader: AgentStatus) -> bool:
    """Whether the slice leads clients to the leader; how the agent words the rest is its own business."""
    endpoints, ports = there.get("endpoints") or [], there.get("ports") or []
    return (
        _epoch(there) == leader.epoch
        and label(there, "kubernetes.io/service-name") == names.writer_service(facts.name)
        and label(there, "endpointslice.kubernetes.io/managed-by") == SLICE_MANAGER
        and [p.get("port") for p in ports] == [names.POSTGRES_PORT]
        and [p.get("name") for p in ports] == ["postgres"]
        and [e.get("addresses") for e in endpoints] == [[leader.pod_ip]]
        and (endpoints[0].get("conditions") or {}).get("ready", True)
    )


def _node(facts: Facts, leader: AgentStatus | None) -> str | None:
    if leader is None:
        return None
    pod = facts.observed.child("Pod", names.pod_name(leader.name))
    node: str | None = ((pod or {}).get("spec") or {}).get("nodeName")
    return node


def has_reader(facts: Facts) -> bool:
    """Whether some pod serves as a reader, as Kubernetes sees it: then the readers' Service leads there."""
    return any(copy.pod_ready and label(copy.pod, names.LABEL_ROLE) == "reader" for copy in facts.copies.values())

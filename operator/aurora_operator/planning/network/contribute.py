"""The endpoints of the cluster, and its NetworkPolicy."""

from __future__ import annotations

from typing import Protocol

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.contribution import Contribution
from aurora_operator.planning.network import custom, endpoint
from aurora_operator.planning.network.edits import put_back
from aurora_operator.planning.objects.network import build_network_policy, build_services
from aurora_operator.planning.power.power import Power, gateway_of
from aurora_operator.planning.view.facts import Facts


class _Needs(Protocol):
    @property
    def spec(self) -> AuroraClusterSpec: ...
    @property
    def power(self) -> Power: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """Services lead to the writer, to readers, to any instance, or all to the gateway of a cluster that sleeps."""
    power, ip = choices.power, gateway_of(view).ip
    among_all = endpoint.any_slice(view, diverted=power.diverted)
    if power.diverted and ip:
        writer = endpoint.diverted_slice(view, ip, waking=power.mode == "on")
    else:
        writer = endpoint.repaired_slice(view)
    new = endpoint.new_slice(view)
    services = build_services(
        view.identity,
        readers=endpoint.has_reader(view),
        diverted=power.diverted,
        writer_only=choices.spec.serverless_v1 is not None,
        settings=choices.spec.services,
    )
    further = custom.contribute(view, choices.spec, diverted=power.diverted)
    to = "the gateway" if power.diverted else view.leader.name if view.leader else "nobody"
    own = Contribution(
        apply=(
            *services,
            build_network_policy(view.identity, view.observed.operator, choices.spec.allowed_from),
            *(slice_ for slice_ in (among_all, writer) if slice_ is not None),
        ),
        create=() if new is None else (new,),
        events=put_back(view, (*services, *(obj for obj in further.apply if obj["kind"] == "Service"))),
        why=() if writer is None else (f"lead the writer endpoint to {to}",),
    )
    return own + further

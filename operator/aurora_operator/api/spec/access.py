"""Who may connect, and by which names: `spec.allowedFrom`, `spec.certificates`."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final

from pydantic import Field

from aurora_operator.api.base.base import Model
from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.marks import MOST_LABEL, key_form, map_schema, value_rule
from aurora_operator.api.spec.services import cidr_rule

MOST_PEERS: Final = 16
MOST_NAMES: Final = 16
_MOST_LABELS: Final = 8

_DNS_NAME: Final = "([*][.])?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])*[a-z]([-a-z0-9]{0,61}[a-z0-9])?"

MatchLabels = Annotated[
    dict[str, Annotated[str, Field(max_length=MOST_LABEL)]],
    Field(max_length=_MOST_LABELS),
    map_schema(_MOST_LABELS, MOST_LABEL),
    key_form("matchLabels"),
    value_rule("matchLabels"),
]


class LabelSelector(Model):
    """What labels must say."""

    match_labels: MatchLabels = Field(default_factory=dict, description="Labels that it must have. None: everything.")


class IPBlock(Model):
    """A range of addresses."""

    cidr: Annotated[str, Field(max_length=43), cidr_rule("ipBlock.cidr")] = Field(description="Such as 10.0.0.0/8.")


class Peer(RuledModel):
    """Who may connect: as in a NetworkPolicy."""

    namespace_selector: LabelSelector | None = Field(
        default=None, description="Pods of namespaces with these labels. Default: of the cluster's own namespace."
    )
    pod_selector: LabelSelector | None = Field(default=None, description="Pods with these labels. Default: all.")
    ip_block: IPBlock | None = Field(default=None, description="Addresses outside of the pod network.")

    RULES: ClassVar = (
        Rule(
            cel="has(self.ipBlock) != (has(self.namespaceSelector) || has(self.podSelector))",
            message="An entry of allowedFrom has either ipBlock, or namespaceSelector, podSelector or both.",
            check=lambda p: (
                (p.ip_block is not None) != (p.namespace_selector is not None or p.pod_selector is not None)
            ),
        ),
    )


AllowedFrom = Annotated[tuple[Peer, ...], Field(max_length=MOST_PEERS)]


class Certificates(Model):
    """The server's certificate."""

    dns_names: Annotated[
        tuple[
            Annotated[
                str,
                Field(max_length=253),
                Rule(
                    cel=f"self.matches('^{_DNS_NAME}$')",
                    message="A name in certificates.dnsNames must be a DNS name in lower case, such as db.example.com "
                    "or *.example.com; addresses are not covered.",
                    check=lambda name: re.fullmatch(_DNS_NAME, name, re.ASCII) is not None,
                ),
            ],
            ...,
        ],
        Field(max_length=MOST_NAMES),
    ] = Field(
        default=(),
        description="Names that it covers besides those of the Services and pods: those of load balancers.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )

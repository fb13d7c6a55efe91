"""How clients outside the cluster's network reach an endpoint: `spec.services`, and `service` of custom endpoints."""

from __future__ import annotations

import ipaddress
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.marks import MOST_ANNOTATION, MOST_LABEL, key_rules, map_schema, value_rule

MOST_MARKS: Final = 16
MOST_RANGES: Final = 32

_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = f"({_OCTET}[.]){{3}}{_OCTET}/(3[0-2]|[12]?[0-9])"
_IPV6: Final = "[0-9a-f:]*:[0-9a-f:.]*/(12[0-8]|1[01][0-9]|[1-9]?[0-9])"


def is_cidr(text: str) -> bool:
    """Whether it is a range of addresses, such as 10.0.0.0/8."""
    try:
        ipaddress.ip_network(text, strict=True)
    except ValueError:
        return False
    return "/" in text


def cidr_rule(where: str) -> Rule:
    """The rule of a range of addresses; `where` begins its sentence.

    The API server sees the form only; that 10.1.0.0/8 is no range is seen here.
    """
    return Rule(
        cel=f"self.matches('^({_IPV4}|{_IPV6})$')",
        message=f"{where} must be a range of addresses in lower case, such as 10.0.0.0/8, 203.0.113.7/32 or "
        "2001:db8::/32.",
        check=is_cidr,
    )


SourceRange = Annotated[str, Field(max_length=43), cidr_rule("A range in loadBalancerSourceRanges")]

ServiceLabels = Annotated[
    dict[str, Annotated[str, Field(max_length=MOST_LABEL)]],
    Field(max_length=MOST_MARKS),
    map_schema(MOST_MARKS, MOST_LABEL),
    *key_rules("labels of a Service"),
    value_rule("labels of a Service"),
]
ServiceAnnotations = Annotated[
    dict[str, Annotated[str, Field(max_length=MOST_ANNOTATION)]],
    Field(max_length=MOST_MARKS),
    map_schema(MOST_MARKS, MOST_ANNOTATION),
    *key_rules("annotations of a Service"),
]


class ServiceSettings(RuledModel):
    """The Service of one endpoint."""

    type: Literal["ClusterIP", "LoadBalancer", "NodePort"] = Field(
        default="ClusterIP",
        description="ClusterIP: reached from within Kubernetes. LoadBalancer: by a load balancer, which Kubernetes' "
        "provider makes. NodePort: by a port of every node.",
    )
    labels: ServiceLabels = Field(default_factory=dict, description="Labels of your own on the Service.")
    annotations: ServiceAnnotations = Field(
        default_factory=dict, description="Annotations of your own on the Service: for load balancers, external-dns."
    )
    node_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="The port of every node, within the API server's range. Default: Kubernetes chooses."
    )
    load_balancer_class: Annotated[str, Field(min_length=1, max_length=317)] | None = Field(
        default=None, description="Which implementation of load balancers. With type LoadBalancer."
    )
    load_balancer_source_ranges: Annotated[tuple[SourceRange, ...], Field(max_length=MOST_RANGES)] = Field(
        default=(),
        description="Whom the load balancer lets in, where it can tell. With type LoadBalancer. Default: everybody.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    external_traffic_policy: Literal["Cluster", "Local"] | None = Field(
        default=None,
        description="Cluster: every node leads on, and hides the client's address. Local: only nodes with an instance "
        "of the endpoint lead, and keep it. Default: Cluster. Not with type ClusterIP.",
    )

    RULES: ClassVar = (
        Rule(
            cel="!(has(self.loadBalancerClass) || (has(self.loadBalancerSourceRanges) && "
            "size(self.loadBalancerSourceRanges) > 0)) || (has(self.type) && self.type == 'LoadBalancer')",
            message="loadBalancerClass and loadBalancerSourceRanges need type: LoadBalancer.",
            check=lambda s: (
                s.type == "LoadBalancer" or not (s.load_balancer_class is not None or s.load_balancer_source_ranges)
            ),
        ),
        Rule(
            cel="!(has(self.nodePort) || has(self.externalTrafficPolicy)) || "
            "(has(self.type) && self.type != 'ClusterIP')",
            message="nodePort and externalTrafficPolicy need type: LoadBalancer or NodePort.",
            check=lambda s: s.type != "ClusterIP" or (s.node_port is None and s.external_traffic_policy is None),
        ),
        Rule(
            cel="!has(self.type) || !has(oldSelf.type) || self.type != 'LoadBalancer' || "
            "oldSelf.type != 'LoadBalancer' || (has(self.loadBalancerClass) == has(oldSelf.loadBalancerClass) && "
            "(!has(self.loadBalancerClass) || self.loadBalancerClass == oldSelf.loadBalancerClass))",
            message="loadBalancerClass of a load balancer that is there cannot change: put the old value back, or set "
            "type: ClusterIP first, which takes the load balancer down.",
        ),
    )


class Services(RuledModel):
    """The Services of the three endpoints that every cluster has."""

    writer: ServiceSettings | None = Field(default=None, description="The writer's: CLUSTER.")
    reader: ServiceSettings | None = Field(default=None, description="The readers': CLUSTER-ro.")
    any: ServiceSettings | None = Field(default=None, description="That over all instances: CLUSTER-any.")

    RULES: ClassVar = (
        Rule(
            field_path=".writer",
            cel="!has(self.writer) || !has(self.writer.externalTrafficPolicy) || "
            "self.writer.externalTrafficPolicy != 'Local'",
            message="externalTrafficPolicy of the writer must be Cluster: with Local, each failover would wait until "
            "health checks of the load balancer have found the next writer's node.",
            check=lambda s: s.writer is None or s.writer.external_traffic_policy != "Local",
        ),
    )

"""Settings of Services that must be refused."""

from __future__ import annotations

from typing import Final

from tests.unit.api.case import Bad

_RANGE: Final = "A range in loadBalancerSourceRanges must be a range of addresses in lower case, such as 10.0.0.0/8,"
_BALANCER: Final = "loadBalancerClass and loadBalancerSourceRanges need type: LoadBalancer."
_OUTSIDE: Final = "nodePort and externalTrafficPolicy need type: LoadBalancer or NodePort."

BAD_SERVICES: Final = (
    *(
        Bad(
            f"range-{number}",
            {"services": {"reader": {"type": "LoadBalancer", "loadBalancerSourceRanges": [text]}}},
            _RANGE,
        )
        for number, text in enumerate(
            ("", "10.0.0.0", "10.0.0.0/33", "256.0.0.0/8", "10.0.0/8", "::/129", "x/8", "10.0.0.0/8 ")
        )
    ),
    *(
        Bad(f"{key}-with-{type_}", {"services": {"any": {"type": type_, key: value}}}, _BALANCER)
        for type_ in ("ClusterIP", "NodePort")
        for key, value in (("loadBalancerClass", "a"), ("loadBalancerSourceRanges", ["10.0.0.0/8"]))
    ),
    Bad("node-port-without-type", {"services": {"writer": {"nodePort": 30432}}}, _OUTSIDE),
    Bad("policy-without-type", {"services": {"writer": {"externalTrafficPolicy": "Cluster"}}}, _OUTSIDE),
    Bad(
        "the-writers-local",
        {"services": {"writer": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}}},
        "externalTrafficPolicy of the writer must be Cluster:",
    ),
    Bad(
        "service-label-ours",
        {"services": {"writer": {"labels": {"aurorapg.io/role": "x"}}}},
        "labels of a Service has a key that the operator or Kubernetes sets itself",
    ),
    Bad(
        "service-annotation-key",
        {"services": {"writer": {"annotations": {"a b": "x"}}}},
        "A key in annotations of a Service must be as Kubernetes writes it",
    ),
    Bad(
        "service-label-value",
        {"services": {"writer": {"labels": {"a": "x y"}}}},
        "A value in labels of a Service must be at most 63 letters",
    ),
    *(
        Bad(
            f"certificate-name-{number}",
            {"certificates": {"dnsNames": [name]}},
            "A name in certificates.dnsNames must be a DNS name in lower case,",
        )
        for number, name in enumerate(("", "DB.example.com", "10.0.0.1", "a..b", "*", "a.*.com", "db_1.com", "-a.com"))
    ),
    *(
        Bad(
            f"allowed-from-{number}",
            {"allowedFrom": [peer]},
            "An entry of allowedFrom has either ipBlock, or namespaceSelector, podSelector or both.",
        )
        for number, peer in enumerate(({}, {"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}))
    ),
    Bad(
        "allowed-from-range",
        {"allowedFrom": [{"ipBlock": {"cidr": "10.0.0.0"}}]},
        "ipBlock.cidr must be a range of addresses in lower case, such as",
    ),
    Bad(
        "allowed-from-label",
        {"allowedFrom": [{"podSelector": {"matchLabels": {"a b": "c"}}}]},
        "A key in matchLabels must be as Kubernetes writes it",
    ),
    Bad(
        "allowed-from-value",
        {"allowedFrom": [{"namespaceSelector": {"matchLabels": {"a": "b c"}}}]},
        "A value in matchLabels must be at most 63 letters",
    ),
)

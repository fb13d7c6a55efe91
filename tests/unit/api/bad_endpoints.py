"""Custom endpoints that must be refused."""

from __future__ import annotations

from typing import Any, Final

from tests.unit.api.case import Bad

_FORM: Final = (
    "An endpoint's name must be lower-case letters, digits and dashes, begin with a letter and not end with a"
)
_TAKEN: Final = "An endpoint cannot be called writer, reader, ro, any, pods, log, gateway, proxy, proxy-ro:"
_NUMBER: Final = "A member is an instance's number, 1 to 31: 2 is CLUSTER-2."


def _endpoint(**fields: Any) -> dict[str, Any]:
    return {"endpoints": [{"name": "reports", **fields}]}


BAD_ENDPOINTS: Final = (
    *(
        Bad(f"endpoint-name-{number}", _endpoint(name=name), _FORM)
        for number, name in enumerate(("", "1", "-a", "a-", "A", "a.b", "a_b", "ä"))
    ),
    *(
        Bad(f"endpoint-called-{name}", _endpoint(name=name), _TAKEN)
        for name in ("writer", "reader", "ro", "any", "pods", "log", "gateway", "proxy", "proxy-ro")
    ),
    *(
        Bad(f"endpoint-{what}-{number}", _endpoint(**{what: [number]}), _NUMBER)
        for what in ("staticMembers", "excludedMembers")
        for number in (0, -1, 32)
    ),
    Bad(
        "endpoint-static-and-excluded",
        _endpoint(staticMembers=[1], excludedMembers=[2]),
        "staticMembers and excludedMembers exclude each other: keep one of them.",
    ),
    Bad(
        "endpoint-tier", _endpoint(promotionTiers=[16]), "promotionTier must be 0 to 15; the lowest is promoted first."
    ),
    Bad(
        "endpoints-without-readers",
        {"engineMode": "serverless", **_endpoint()},
        "endpoints need instances to choose from: with engineMode serverless there is only the writer.",
    ),
    Bad(
        "endpoint-service",
        _endpoint(service={"nodePort": 30000}),
        "nodePort and externalTrafficPolicy need type: LoadBalancer or NodePort.",
    ),
)

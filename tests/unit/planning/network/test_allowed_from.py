"""Who may connect to PostgreSQL, by the NetworkPolicy; and the names by which the server may be called."""

from __future__ import annotations

from typing import Any

from tests.unit.planning.stories import ready
from tests.unit.planning.world import World

from aurora_operator.api.base import names
from aurora_operator.planning.certificates import pki
from aurora_operator.planning.objects.common import decode_data

SHOP = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}
OFFICE = {"ipBlock": {"cidr": "203.0.113.0/24"}}


def doors(world: World) -> dict[int, list[Any]]:
    """Who may come, by port; None: everybody."""
    rules = world.objects["NetworkPolicy"]["demo"]["spec"]["ingress"]
    found: dict[int, list[Any]] = {}
    for rule in rules:
        for port in rule["ports"]:
            found.setdefault(port["port"], []).extend(rule.get("from", [None]))
    return found


def lets_in(peer: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a peer of the cluster's own namespace is meant."""
    selector = peer.get("podSelector")
    if selector is None or "namespaceSelector" in peer:
        return False
    holds = selector.get("matchLabels", {}).items() <= labels.items()
    for asked in selector.get("matchExpressions", ()):
        value = labels.get(asked["key"])
        test = {"Exists": value is not None, "In": value in asked.get("values", ())}
        holds &= test.get(asked["operator"], value not in asked.get("values", ()))
    return bool(holds)


def test_only_who_is_named_may_connect_and_who_needs_it() -> None:
    world = ready()
    others = {port: peers for port, peers in doors(world).items() if port != names.POSTGRES_PORT}
    assert doors(world)[names.POSTGRES_PORT] == [None]
    world.edit(allowedFrom=[SHOP, OFFICE])
    world.settle()
    peers = doors(world)[names.POSTGRES_PORT]
    assert SHOP in peers and OFFICE in peers and None not in peers
    own = [pod["metadata"]["labels"] for pod in world.objects["Pod"].values()]
    clone = {names.LABEL_CLUSTER: "other", names.LABEL_COMPONENT: "instance"}
    gateway = {names.LABEL_CLUSTER: "demo", names.LABEL_COMPONENT: "gateway"}
    export = {f"{names.GROUP}/transfer": "demo"}
    for labels in (*own, clone, gateway, export):
        assert any(lets_in(peer, labels) for peer in peers), labels
    rehearsal = {names.LABEL_CLUSTER: "demo", names.LABEL_COMPONENT: "rehearsal"}
    for labels in ({}, {"app": "web"}, rehearsal, {f"{names.GROUP}/transfer": "other"}):
        assert not any(lets_in(peer, labels) for peer in peers), labels
    assert {p: peers for p, peers in doors(world).items() if p != names.POSTGRES_PORT} == others
    world.edit(allowedFrom=[])
    world.settle()
    peers = doors(world)[names.POSTGRES_PORT]
    assert peers and SHOP not in peers and OFFICE not in peers and None not in peers
    world.edit(allowedFrom=None)
    world.settle()
    assert doors(world)[names.POSTGRES_PORT] == [None]


def test_the_proxy_is_no_way_around() -> None:
    world = ready(proxy={}, allowedFrom=[SHOP])
    rules = [rule for policy in world.objects["NetworkPolicy"].values() for rule in policy["spec"]["ingress"]]
    clients = [r for r in rules if {p["port"] for p in r["ports"]} & {names.POSTGRES_PORT, names.PROXY_RO_PORT}]
    assert len(clients) == 2 and all(SHOP in rule["from"] for rule in clients)


def test_the_certificate_covers_names_of_ones_own() -> None:
    world = ready()
    before = hosts(world)
    world.edit(certificates={"dnsNames": ["db.example.com", "*.db.example.com"]})
    world.settle()
    assert hosts(world) == before | {"db.example.com", "*.db.example.com"}
    pods = {name: pod["metadata"]["uid"] for name, pod in world.objects["Pod"].items()}
    world.edit(certificates={})
    world.settle()
    assert hosts(world) == before
    assert pods == {name: pod["metadata"]["uid"] for name, pod in world.objects["Pod"].items()}


def hosts(world: World) -> frozenset[str]:
    return pki.hosts_of(decode_data(world.objects["Secret"]["demo-tls"])["server.crt"])

"""The proxy in the life of a cluster."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.planning.stories import ready
from tests.unit.planning.world import World

from aurora_operator.api.base import names
from aurora_operator.planning.certificates import pki
from aurora_operator.planning.objects.common import decode_data
from aurora_operator.planning.view.facts import Facts


def proxied(**proxy: Any) -> World:
    world = ready(proxy=proxy)
    world.settle()
    return world


def deployment(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.objects["Deployment"]["demo-proxy"]
    return found


def told(world: World) -> bool:
    settings = Facts(world.observe(), world.now).settings
    assert settings is not None
    return settings.proxy


def test_there_is_none_unless_it_is_asked_for() -> None:
    world = ready()
    assert not world.objects.get("Deployment")
    assert "demo-proxy" not in world.objects["Service"]
    assert not told(world)


def test_it_is_asked_for_and_taken_back() -> None:
    """Whatever could take clients goes; the agents hear of both."""
    world = ready()
    world.edit(proxy={})
    world.settle()
    assert told(world)
    pod = deployment(world)["spec"]["template"]["spec"]
    assert deployment(world)["spec"]["replicas"] == 2
    assert pod["serviceAccountName"] == "demo-proxy"
    assert pod["automountServiceAccountToken"] is False
    assert {
        n: world.objects["Service"][n]["spec"]["ports"][0]["targetPort"] for n in ("demo-proxy", "demo-proxy-ro")
    } == {
        "demo-proxy": names.POSTGRES_PORT,
        "demo-proxy-ro": names.PROXY_RO_PORT,
    }
    assert "Role" not in {kind for kind, found in world.objects.items() if "demo-proxy" in found}
    world.edit(proxy=None)
    world.settle()
    assert not told(world)
    assert not world.objects["Deployment"]
    assert not {"demo-proxy", "demo-proxy-ro"} & world.objects["Service"].keys()
    assert "proxy" not in world.resource["status"]


def test_its_certificates_are_its_own() -> None:
    """It has none of the cluster's keys; its server's covers its names, its client's is of its role."""
    world = proxied()
    own = decode_data(world.objects["Secret"]["demo-proxy"])
    cluster = decode_data(world.objects["Secret"]["demo-tls"])
    assert own["ca.crt"] == cluster["ca.crt"]
    assert not {value for key, value in own.items() if key.endswith(".key")} & set(cluster.values())
    assert {"demo-proxy.default.svc", "demo-proxy-ro.default.svc"} <= pki.hosts_of(own["server.crt"])
    assert pki.common_name(own["proxy.crt"]) == names.PROXY_USER
    volumes = deployment(world)["spec"]["template"]["spec"]["volumes"]
    assert [v["secret"]["secretName"] for v in volumes if "secret" in v] == ["demo-proxy"]


def test_certificates_are_renewed_in_place() -> None:
    world = proxied()
    before = decode_data(world.objects["Secret"]["demo-proxy"])
    world.now += pki.LEAF_LIFE * 0.7
    world.settle()
    after = decode_data(world.objects["Secret"]["demo-proxy"])
    assert after["server.crt"] != before["server.crt"]
    assert after["proxy.crt"] != before["proxy.crt"]


def test_whoever_scales_it_has_his_way() -> None:
    """Without replicas in the spec, the Deployment's own count stays, also when something else about it changes."""
    world = proxied()
    deployment(world)["spec"]["replicas"] = 5
    world.edit(proxy={"connectionBorrowTimeout": 7})
    world.settle()
    assert deployment(world)["spec"]["replicas"] == 5
    environment = deployment(world)["spec"]["template"]["spec"]["containers"][0]["env"]
    assert json.loads(environment[0]["value"])["proxy"]["connectionBorrowTimeout"] == 7
    world.edit(proxy={"replicas": 3})
    world.settle()
    assert deployment(world)["spec"]["replicas"] == 3


def test_a_change_of_its_count_replaces_no_pod() -> None:
    world = proxied()
    before = deployment(world)["spec"]["template"]
    world.edit(proxy={"replicas": 4, "resources": {"requests": {"cpu": "1"}}})
    world.settle()
    environment = before["spec"]["containers"][0]["env"]
    assert deployment(world)["spec"]["template"]["spec"]["containers"][0]["env"] == environment


def test_the_status_says_how_many_take_clients() -> None:
    world = proxied()
    assert world.condition("ProxyReady")["status"] == "False"
    assert world.resource["status"]["proxy"] == {
        "replicas": 2,
        "ready": 0,
        "writer": "demo-proxy.default.svc",
        "reader": "demo-proxy-ro.default.svc",
    }
    for ready_pods, reason in ((1, "ProxyStarting"), (2, "ProxyServes")):
        deployment(world)["status"] = {"readyReplicas": ready_pods}
        world.step()
        assert world.condition("ProxyReady")["reason"] == reason
    assert world.resource["status"]["phase"] == "Ready"


def test_somebody_elses_service_of_its_name_is_left_alone() -> None:
    world = ready()
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo-proxy", "namespace": "default"}}
    world.objects["Service"]["demo-proxy"] = {**theirs, "spec": {"selector": {"app": "theirs"}}}
    world.edit(proxy={})
    world.until(lambda: world.resource["status"]["phase"] == "Degraded")
    assert world.objects["Service"]["demo-proxy"]["spec"] == {"selector": {"app": "theirs"}}
    assert world.condition("NameTaken")["status"] == "True"
    world.edit(proxy=None)
    world.settle()
    assert "demo-proxy" in world.objects["Service"]

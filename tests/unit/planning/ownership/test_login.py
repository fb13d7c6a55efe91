from __future__ import annotations

import base64
import copy
from typing import Any
from urllib.parse import quote

import pytest
from tests.unit.planning.world import World

from aurora_operator.api.base import names
from aurora_operator.planning.objects.common import Identity
from aurora_operator.planning.objects.secrets import build_app_secret


def user_secret(world: World, password: bytes | None = b"chosen", **more: Any) -> dict[str, Any]:
    """The Secret `demo-app` as a user makes it."""
    data = {} if password is None else {"password": base64.b64encode(password).decode()}
    data |= {key: base64.b64encode(value).decode() for key, value in more.pop("data", {}).items()}
    metadata = {"name": "demo-app", "namespace": "default", "uid": "theirs", "resourceVersion": "1", "generation": 1}
    metadata |= more.pop("metadata", {})
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data, **more}
    world.objects.setdefault("Secret", {})["demo-app"] = made
    return copy.deepcopy(made)


def decoded(world: World, name: str) -> dict[str, str]:
    return {k: base64.b64decode(v).decode() for k, v in world.objects["Secret"][name]["data"].items()}


@pytest.mark.parametrize("given", [b"s3 cr&t", b"s3 cr&t\n", b"s3 cr&t\r\n"])
def test_a_users_password_is_used_and_its_bytes_stay(given: bytes) -> None:
    world = World()
    before = user_secret(world, given)
    world.settle()
    there = world.objects["Secret"]["demo-app"]
    assert there["data"]["password"] == before["data"]["password"], "a user's value is never written"
    assert "ownerReferences" not in there["metadata"], "it goes with no cluster"
    found = decoded(world, "demo-app")
    assert found["pgpass"] == "demo.default.svc:5432:app:app:s3 cr&t\n"
    assert there["type"] == "Opaque", "a type cannot change"
    for key in (key for key in found if key.endswith("uri")):
        assert "%0A" not in found[key] and "%0D" not in found[key] and "\n" not in found[key]
    assert quote("s3 cr&t", safe="") in found["uri"]
    assert world.resource["status"]["endpoints"]["secret"] == "demo-app"
    assert world.resource["status"]["binding"] == {"name": "demo-app"}


@pytest.mark.parametrize(
    "reserved",
    [
        {"immutable": True},
        {"metadata": {"ownerReferences": [{"kind": "ExternalSecret", "name": "x", "uid": "e", "controller": True}]}},
        {"metadata": {"ownerReferences": [{"kind": "SealedSecret", "name": "x", "uid": "e", "controller": True}]}},
        {"data": {"DATABASE_URL": b"somebody's"}},
        {"data": {"username": b"somebody"}},
    ],
)
def test_a_secret_that_is_not_ours_to_write_is_left_alone_and_the_rest_goes_elsewhere(reserved: dict[str, Any]) -> None:
    world = World()
    before = user_secret(world, b"chosen\n", **copy.deepcopy(reserved))
    made = world.settle()
    assert not made.changes
    assert world.objects["Secret"]["demo-app"] == before
    apart = names.connection_secret("demo")
    found = decoded(world, apart)
    assert (found["username"], found["password"]) == ("app", "chosen")
    assert world.objects["Secret"][apart]["type"] == "kubernetes.io/basic-auth"
    assert world.resource["status"]["binding"] == {"name": apart}
    identity = Identity("demo", "default", "uid-demo")
    whole = build_app_secret(identity, database="app", username="app", password="chosen", instances=(), ca="")
    assert set(found) == set(whole["data"])
    assert found["uri"].startswith("postgresql://app:chosen@demo.default.svc:5432/app")
    assert world.objects["Secret"][apart]["metadata"]["ownerReferences"][0]["uid"] == "uid-demo"
    assert world.resource["status"]["endpoints"]["secret"] == apart
    told = [e.message for p in world.plans for e in p.events if e.reason == "ConnectionApart"]
    assert len(told) == 1 and apart in told[0]
    assert all("chosen" not in text for text in told)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (b"", "empty"),
        (b"caf\xe9", "not UTF-8"),
        (b"a\nb", "control character"),
        (b"x" * 2000, "1024"),
        (None, "no key"),
    ],
)
def test_what_cannot_be_a_password_is_named_and_never_replaced(given: bytes | None, why: str) -> None:
    world = World()
    before = user_secret(world, given)
    for _ in range(12):
        world.step()
    assert world.objects["Secret"]["demo-app"] == before
    said = world.condition("PasswordRefused")
    assert said["status"] == "True" and why in said["message"] and "Secret demo-app" in said["message"]
    assert said["message"] in world.condition("Degraded")["message"]
    assert "binding" not in world.resource["status"], "there is nothing to bind yet"
    assert [e.reason for p in world.plans for e in p.events].count("PasswordRefused") == 1
    user_secret(world, b"better")
    world.settle()
    assert all(c["type"] != "PasswordRefused" for c in world.resource["status"]["conditions"])


def test_a_password_that_is_edited_badly_in_our_own_secret_stays_as_it_was_written() -> None:
    world = World()
    world.settle()
    secret = world.objects["Secret"]["demo-app"]
    good = dict(secret["data"])
    secret["data"]["password"] = base64.b64encode(b"\xff\xfe").decode()
    for _ in range(4):
        world.step()
    assert secret_data(world)["password"] == base64.b64encode(b"\xff\xfe").decode()
    assert secret_data(world)["uri"] == good["uri"], "the one in force stays"
    assert world.condition("PasswordRefused")["status"] == "True"
    secret_data(world)["password"] = base64.b64encode(b"new\n").decode()
    world.settle()
    assert secret_data(world)["password"] == base64.b64encode(b"new\n").decode()
    assert decoded(world, "demo-app")["pgpass"].endswith(":new\n")
    del secret_data(world)["password"]
    world.settle()
    assert decoded(world, "demo-app")["password"], "nobody chose one: a new one is made"


def secret_data(world: World) -> dict[str, str]:
    data: dict[str, str] = world.objects["Secret"]["demo-app"]["data"]
    return data


def test_an_earlier_release_took_a_users_secret_over_and_it_stays_so() -> None:
    world = World()
    owner = {"kind": "AuroraCluster", "name": "demo", "uid": "uid-demo", "controller": True, "apiVersion": "x"}
    user_secret(world, b"chosen", metadata={"labels": {names.LABEL_CLUSTER: "demo"}, "ownerReferences": [owner]})
    world.settle()
    assert decoded(world, "demo-app")["password"] == "chosen"
    assert world.objects["Secret"]["demo-app"]["metadata"]["ownerReferences"][0]["uid"] == "uid-demo"
    assert world.objects["Secret"]["demo-app"]["type"] == "Opaque", "a type cannot change"

"""Pausing, stopping, and coming back: the order of things, and who is in charge of them."""

from __future__ import annotations

import copy as copying
import json
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.planning.world import World, cluster

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base import names
from aurora_operator.planning.model.plan_model import AgentCall, Observed, StopWriter
from aurora_operator.planning.network import endpoint
from aurora_operator.planning.view.facts import Facts

ZERO = {"minCapacity": 0, "maxCapacity": 8, "secondsUntilAutoPause": 300}
GATEWAY = "demo-gateway-0"


class Sleeper(World):
    """A world with a gateway's pod, and agents that stop in order."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(cluster(**{"instances": 3, **spec}))
        self.idle: float | None = 0.0
        self.refused: dict[str, str] = {}
        self.stops = 0
        self.clients = "none"
        self.refuses_to_pause: str | None = None
        self.without_node: set[str] = set()

    def status_of(self, name: str) -> AgentStatus:
        idle = self.idle if self.agents[name].phase in ("Leading", "Following") else None
        return super().status_of(name).model_copy(update={"idle_seconds": idle, "pause_refused": self.refuses_to_pause})

    def call(self, call: AgentCall) -> None:
        if not isinstance(call, StopWriter):
            super().call(call)
            return
        assert call.instance == self.leader
        for name in self.following():
            settings = self.disks[name].settings
            assert settings is not None and settings.power != "on", "whoever does not know would elect"
        self.stops += 1
        for name in list(self.agents):
            self.agents[name] = replace(self.agents[name], phase="Stopped")
        self.leader = None

    def live_agents(self) -> None:
        awake = {n: a for n, a in self.agents.items() if a.phase != "Stopped"}
        for name, agent in self.agents.items():
            settings = self.disks[name].settings
            if agent.phase == "Stopped" and settings is not None and settings.power == "on":
                self.agents[name] = replace(agent, phase="Starting", age=0)
        asleep = {n: a for n, a in self.agents.items() if a.phase == "Stopped"}
        self.agents = awake | {n: a for n, a in self.agents.items() if n not in awake and n not in asleep}
        super().live_agents()
        self.agents |= asleep

    def _controllers(self) -> None:
        for name, statefulset in list(self.objects.get("StatefulSet", {}).items()):
            if statefulset["spec"]["replicas"] == 0 and names.pod_name(name) in self.objects.get("Pod", {}):
                self._kill(names.pod_name(name))
        asleep = {n: s for n, s in self.objects.get("StatefulSet", {}).items() if s["spec"]["replicas"] == 0}
        gateway = self.objects.get("StatefulSet", {}).pop("demo-gateway", None)
        pod = self.objects.get("Pod", {}).pop(GATEWAY, None)
        for name in asleep:
            del self.objects["StatefulSet"][name]
        super()._controllers()
        for name, statefulset in asleep.items():
            if "deletionTimestamp" in statefulset["metadata"]:
                continue
            statefulset["status"] = {"observedGeneration": statefulset["metadata"]["generation"]}
            self.objects["StatefulSet"][name] = statefulset
        if gateway is not None and "deletionTimestamp" not in gateway["metadata"]:
            self.objects["StatefulSet"]["demo-gateway"] = gateway
            made = pod or copying.deepcopy(gateway["spec"]["template"])
            made["metadata"] |= {"name": GATEWAY, "annotations": {names.ANNOTATION_CLIENTS: self.clients}}
            ready = [{"type": "Ready", "status": "True"}]
            made["status"] = {"phase": "Running", "podIP": "10.9.9.9", "conditions": ready}
            self.objects.setdefault("Pod", {})[GATEWAY] = made

    def _run(self, pod: dict[str, Any]) -> None:
        if pod["metadata"]["labels"][names.LABEL_INSTANCE] in self.without_node:
            pod["status"] = {"phase": "Pending"}
            return
        super()._run(pod)

    def observe(self) -> Observed:
        if GATEWAY in self.objects.get("Pod", {}):
            self.objects["Pod"][GATEWAY]["metadata"]["annotations"][names.ANNOTATION_CLIENTS] = self.clients
        return super().observe()

    def _pods(self) -> Any:
        for pod in self.objects.get("Pod", {}).values():
            if pod["status"].get("phase") == "Running" and names.LABEL_INSTANCE in pod["metadata"]["labels"]:
                yield pod["metadata"]["labels"][names.LABEL_INSTANCE]

    @property
    def phase(self) -> str:
        return str(self.resource["status"]["phase"])

    @property
    def writer_leads_to(self) -> list[str]:
        return self._addresses("demo-writer")

    @property
    def any_leads_to(self) -> list[str]:
        """Beside what the Service selects."""
        return self._addresses("demo-any-writer")

    def _addresses(self, name: str) -> list[str]:
        endpoints = self.objects["EndpointSlice"][name]["endpoints"]
        return [address for endpoint in endpoints for address in endpoint["addresses"]]

    def components(self) -> set[str]:
        return {
            self.objects["Service"][name]["spec"]["selector"][names.LABEL_COMPONENT] for name in ("demo-ro", "demo-any")
        }


def serverless(**spec: Any) -> Sleeper:
    return Sleeper(instanceClass="db.serverless", serverlessV2ScalingConfiguration=ZERO, **spec)


def asleep() -> Sleeper:
    world = serverless()
    world.settle()
    world.idle = 301.0
    world.until(lambda: world.phase == "Paused")
    return world


def test_an_idle_cluster_pauses_in_order_and_keeps_its_volumes() -> None:
    world = serverless()
    world.settle()
    assert world.condition("AutoPause")["status"] == "True"
    world.idle = 299.0
    for _ in range(5):
        world.step()
    assert world.phase == "Ready"
    volumes = set(world.objects["PersistentVolumeClaim"])
    world.idle = 300.0
    world.until(lambda: world.stops == 1)
    assert world.writer_leads_to == ["10.9.9.9"], "clients are taken care of before the writer stops"
    assert world.components() == {"gateway"} and world.any_leads_to == []
    world.until(lambda: world.phase == "Paused")
    assert set(world.objects["Pod"]) == {GATEWAY}
    assert set(world.objects["PersistentVolumeClaim"]) == volumes
    assert world.condition("Degraded")["status"] == "False"
    made = [world.step() for _ in range(5)]
    assert not any(plan.changes for plan in made), "a paused cluster causes no writes"
    assert made[-1].requeue_seconds == 10


def test_a_client_wakes_it_and_the_gateway_stays_until_its_clients_have_gone() -> None:
    world = asleep()
    world.idle, world.clients = 0.0, "waiting"
    world.step()
    assert world.phase == "Resuming"
    told = [event.reason for _ in range(20) for event in world.step().events]
    assert world.phase == "Ready"
    assert "WriterOpened" in told and "FailedOver" not in told, "nothing has failed"
    assert world.components() == {"instance"}
    assert world.writer_leads_to == world.any_leads_to != ["10.9.9.9"]
    world.clients = "joined"
    for _ in range(3):
        world.step()
    assert "demo-gateway" in world.objects["StatefulSet"]
    world.clients = "none"
    world.settle()
    assert "demo-gateway" not in world.objects["StatefulSet"]


def writer_of(world: Sleeper) -> str:
    """The last writer, as the record has it."""
    record = json.loads(world.objects["ConfigMap"]["demo-record"]["data"]["record.json"])
    return str(record["leader"]).partition("/")[0]


def started(world: Sleeper) -> set[str]:
    """Who is to have a pod, the gateway apart."""
    sets = world.objects["StatefulSet"]
    return {name for name, s in sets.items() if s["spec"]["replicas"] == 1} - {"demo-gateway"}


def test_the_last_writer_and_the_cheapest_of_a_write_quorum_start_first_and_the_rest_after_the_clients() -> None:
    world = asleep()
    writer = writer_of(world)
    everybody = {*world.instances, *world.logs} - {"demo-gateway"}
    assert len(everybody) == 6
    world.idle, world.clients = 0.0, "waiting"
    world.step()
    first = {writer, *world.logs}
    assert started(world) == first and len(first) == 4
    world.until(lambda: world.leader == writer)
    world.clients = "joined"
    world.until(lambda: started(world) == everybody)
    world.until(lambda: world.phase == "Ready")


def test_the_rest_starts_when_the_first_do_not_get_there() -> None:
    world = asleep()
    writer = writer_of(world)
    world.idle, world.clients = 0.0, "waiting"
    world.without_node.add(writer)
    begun = world.now
    world.until(lambda: len(started(world)) == 6)
    assert 10 <= (world.now - begun).total_seconds() <= 13
    world.until(lambda: world.leader not in (None, writer))
    for _ in range(5):
        world.step()
        assert len(started(world)) == 6, "nobody is put to sleep again"


def test_the_rest_starts_at_once_when_one_of_the_first_cannot_run() -> None:
    world = asleep()
    world.idle, world.clients = 0.0, "waiting"
    world.without_node.add(writer_of(world))
    world.step()
    status = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "Unschedulable"}]}
    world.objects["Pod"][names.pod_name(writer_of(world))]["status"] = status
    world.step()
    assert len(started(world)) == 6


def test_the_endpoint_is_not_taken_from_a_leader_that_is_about_to_open() -> None:
    world = asleep()
    slice = world.objects["EndpointSlice"]["demo-writer"]
    slice["metadata"]["annotations"][names.ANNOTATION_EPOCH] = str(world.epoch + 1)
    slice["endpoints"] = [{"addresses": ["10.0.0.1"]}]
    facts = Facts(world.observe(), world.now)
    assert endpoint.diverted_slice(facts, "10.9.9.9", waking=True) is None
    assert endpoint.diverted_slice(facts, "10.9.9.9") is not None, "one that goes to sleep lets nobody in any more"


def test_all_start_at_once_where_the_last_writer_is_not_known() -> None:
    world = asleep()
    record = world.objects["ConfigMap"]["demo-record"]
    record["data"]["record.json"] = json.dumps(json.loads(record["data"]["record.json"]) | {"leader": None})
    world.idle, world.clients = 0.0, "waiting"
    world.step()
    assert len(started(world)) == 6


def test_one_that_is_to_stop_while_some_still_sleep_stops_in_order() -> None:
    world = asleep()
    world.idle, world.clients = 0.0, "waiting"
    world.until(lambda: world.leader is not None)
    assert len(started(world)) == 4
    world.edit(stopped=True)
    world.step()
    assert len(started(world)) == 6, "the writer waits for those who follow it"
    world.until(lambda: world.phase == "Stopped")
    assert world.stops == 2


@pytest.mark.parametrize("how", ["spec", "command"])
def test_it_is_woken_by_other_things_too(how: str) -> None:
    world = asleep()
    world.idle = 0.0
    if how == "spec":
        world.edit(parameters={"work_mem": "8MB"})
    else:
        world.resource["metadata"]["annotations"] = {names.ANNOTATION_WAKE: "now"}
    world.until(lambda: world.phase == "Ready")
    assert names.ANNOTATION_WAKE not in world.resource["metadata"].get("annotations", {})


def test_a_session_that_comes_while_it_pauses_keeps_it_awake() -> None:
    world = serverless()
    world.settle()
    world.idle = 300.0
    world.step()
    assert world.phase == "Stopping"
    world.idle = 0.0
    world.until(lambda: world.phase == "Ready")
    assert world.stops == 0


def test_what_relies_on_it_from_outside_refuses_the_pause() -> None:
    world = serverless()
    world.refuses_to_pause = "the logical replication slot cdc would fall behind"
    world.settle()
    world.idle = 10_000.0
    for _ in range(5):
        world.step()
    assert world.phase == "Ready"
    condition = world.condition("AutoPause")
    assert (condition["status"], condition["reason"]) == ("False", "Refused")
    assert "cdc" in condition["message"]


def test_a_provisioned_instance_refuses_the_pause() -> None:
    world = serverless(instanceSettings=[{"instance": 2, "resources": {"limits": {"memory": "1Gi"}}}])
    world.settle()
    world.idle = 10_000.0
    world.step()
    assert world.phase == "Ready"
    assert "demo-2 cannot pause" in world.condition("AutoPause")["message"]


def test_an_instance_that_cannot_be_asked_keeps_it_awake() -> None:
    world = serverless()
    world.settle()
    world.idle = None
    for _ in range(5):
        world.step()
    assert world.phase == "Ready"


def test_stopped_by_hand_whatever_goes_on_and_nobody_wakes_it() -> None:
    world = Sleeper()
    world.settle()
    world.edit(stopped=True)
    world.until(lambda: world.phase == "Stopped")
    environment = world.objects["StatefulSet"]["demo-gateway"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "AURORA_STOPPED", "value": "true"} in environment
    world.clients = "waiting"
    for _ in range(5):
        world.step()
    assert world.phase == "Stopped"
    world.clients = "none"
    world.edit(stopped=False)
    world.until(lambda: world.phase == "Ready")
    assert world.components() == {"instance"}


def test_a_new_cluster_that_says_stopped_is_made_first() -> None:
    world = Sleeper(stopped=True)
    world.step()
    world.until(lambda: world.phase == "Stopped")
    assert world.stops == 1


def test_deleting_a_sleeping_cluster() -> None:
    world = asleep()
    world.resource["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    for _ in range(20):
        if world.gone:
            break
        world.step()
    assert world.gone

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.kube.fake import FakeApi

from aurora_operator.api.agent.messages import AgentStatus, ParameterCheckResult
from aurora_operator.controller.agents import AgentError
from aurora_operator.controller.fleet import Key
from aurora_operator.controller.reconcile import Reconciler, Stopped
from aurora_operator.kube import observe
from aurora_operator.kube.errors import Conflict, Forbidden, Invalid, NoAnswer
from aurora_operator.kube.snapshots import Snapshots
from aurora_operator.kube.warnings import Warnings
from aurora_operator.planning.model.plan_model import (
    AgentCall,
    CheckParameters,
    EventSpec,
    ObjectRef,
    ObjectWarning,
    Observed,
    OperatorConfig,
    Plan,
    Raw,
    Restart,
    Supplies,
    Unreachable,
)

KEY = ("ns", "demo")
CLUSTER_PATH = "/apis/aurorapg.io/v1alpha1/namespaces/ns/auroraclusters/demo"
STATUS = {"phase": "Ready", "conditions": [{"type": "Ready", "status": "True"}]}
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def manifest(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": {"aurorapg.io/cluster": "demo"}}}


class FakeAgents:
    def __init__(self) -> None:
        self.calls: list[AgentCall] = []
        self.forgotten: list[Key] = []
        self.error: AgentError | None = None

    async def statuses(self, key: Key, children: observe.Children) -> Mapping[str, AgentStatus | Unreachable]:
        return {"demo-1": Unreachable("cut off")}

    async def call(self, key: Key, children: observe.Children, call: AgentCall) -> ParameterCheckResult | None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        return ParameterCheckResult(errors={"a": "b"}) if isinstance(call, CheckParameters) else None

    async def forget(self, key: Key) -> None:
        self.forgotten.append(key)


class Seen:
    """What the metrics hear."""

    def __init__(self) -> None:
        self.passes: list[tuple[str | None, bool]] = []

    def passed(self, key: Key, status: Mapping[str, Any], *, seconds: float, failed: bool) -> None:
        self.passes.append((status.get("phase"), failed))

    def forget(self, key: Key) -> None:
        self.passes.append(("forgotten", False))


class World:
    """A reconciler with fakes all around; `decide` is the plan."""

    def __init__(self, decide: Callable[[Observed], Plan] = lambda observed: Plan(status=STATUS)) -> None:
        self.api = FakeApi()
        self.agents = FakeAgents()
        self.seen = Seen()
        self.events: list[EventSpec] = []
        self.observed: list[Observed] = []
        self.decide = decide
        self.active = True
        self.api.put(CLUSTER_PATH, metadata={"generation": 3}, spec={})

        def plan(observed: Observed, supplies: Supplies, now: datetime) -> Plan:
            self.observed.append(observed)
            return self.decide(observed)

        async def say(cluster: Raw, event: EventSpec) -> None:
            self.events.append(event)

        self.reconciler = Reconciler(
            api=self.api,
            operator=OperatorConfig("image", "sys", {"app": "operator"}),
            surroundings=observe.Surroundings(self.api).read,
            snapshots=Snapshots(self.api).read,
            agents=self.agents,
            say=say,
            plan=plan,
            supplies=lambda: Supplies("password", ()),
            watcher=self.seen,
            may_write=lambda: self.active,
            now=lambda: NOW,
        )

    @property
    def status(self) -> Any:
        return self.api.objects[CLUSTER_PATH].get("status")


async def test_observes_all_that_planning_may_know() -> None:
    world = World()
    world.api.put("/api/v1/nodes/w", metadata={"labels": {"topology.kubernetes.io/zone": "zone-a"}})
    world.api.put("/api/v1/namespaces/ns/pods/demo-1-0", metadata={"labels": {"aurorapg.io/cluster": "demo"}})
    for where in ("ns", "other"):
        world.api.put(f"/apis/aurorapg.io/v1alpha1/namespaces/{where}/aurorasnapshots/in-{where}", spec={})
    outcome = await world.reconciler(KEY)
    (observed,) = world.observed
    assert list(observed.snapshots) == ["in-ns"]
    assert observed.cluster["metadata"]["name"] == "demo"
    assert list(observed.children["Pod"]) == ["demo-1-0"]
    assert [n.zone for n in observed.nodes] == ["zone-a"]
    assert observed.agents == {"demo-1": Unreachable("cut off")}
    assert (outcome.failed, outcome.again_in, outcome.gone) == (False, 10.0, False)
    assert world.status == STATUS
    assert world.seen.passes == [("Ready", False)]


async def test_a_steady_cluster_causes_no_writes() -> None:
    world = World()
    await world.reconciler(KEY)
    world.api.calls.clear()
    for _ in range(5):
        await world.reconciler(KEY)
    assert world.api.writes == []
    assert world.events == []


async def test_the_steps_come_in_order() -> None:
    old = ObjectRef("Pod", "demo-2-0")
    world = World(
        lambda observed: Plan(
            status=STATUS,
            finalizers=("aurorapg.io/x",),
            create=(manifest("ConfigMap", "demo-record"),),
            apply=(manifest("Secret", "demo-ca"), manifest("Service", "demo")),
            delete=(old,),
            calls=(Restart("demo-2"),),
            annotations={"aurorapg.io/switchover": None},
            events=(EventSpec("Normal", "Done", "did it"),),
            requeue_seconds=1.5,
        )
    )
    world.api.put("/api/v1/namespaces/ns/pods/demo-2-0")
    outcome = await world.reconciler(KEY)
    steps = [f"{method} {path.rsplit('/namespaces/ns/')[1]}" for method, path in world.api.writes]
    assert steps == [
        "PATCH auroraclusters/demo",
        "POST configmaps",
        "PATCH secrets/demo-ca",
        "PATCH services/demo",
        "DELETE pods/demo-2-0",
        "PATCH auroraclusters/demo",
        "PATCH auroraclusters/demo/status",
    ]
    assert world.agents.calls == [Restart("demo-2")]
    assert [e.reason for e in world.events] == ["Done"]
    assert (outcome.failed, outcome.again_in) == (False, 1.5)


async def test_another_cluster_is_woken_by_its_annotation() -> None:
    world = World(lambda observed: Plan(status=STATUS, wakes="source"))
    path = "/apis/aurorapg.io/v1alpha1/namespaces/ns/auroraclusters/source"
    world.api.put(path, spec={})
    await world.reconciler(KEY)
    assert world.api.objects[path]["metadata"]["annotations"] == {"aurorapg.io/wake": "by demo"}


async def test_a_failed_step_keeps_no_other_from_being_done_and_is_shown() -> None:
    applied = (manifest("Service", "demo"), manifest("Service", "demo-ro"))
    world = World(lambda observed: Plan(status=STATUS, apply=applied, finalizers=()))
    world.api.put(CLUSTER_PATH, metadata={"generation": 3, "finalizers": ["aurorapg.io/x"]})
    world.api.fail["PATCH", "services/demo-ro"] = Invalid(422, "Invalid", "no such port")
    assert (await world.reconciler(KEY)).failed
    assert "/api/v1/namespaces/ns/services/demo" in world.api.objects
    condition = world.status["conditions"][-1]
    assert (condition["type"], condition["status"]) == ("Reconciled", "False")
    assert condition["message"] == "cannot apply Service demo-ro: no such port (422 Invalid)"
    assert world.status["conditions"][0] == STATUS["conditions"][0]
    assert [e.reason for e in world.events] == ["ReconcileFailed"]
    assert world.api.objects[CLUSTER_PATH]["metadata"]["finalizers"] == ["aurorapg.io/x"], "not before all is done"

    world.api.fail.clear()
    assert not (await world.reconciler(KEY)).failed
    assert world.status == STATUS
    assert world.api.objects[CLUSTER_PATH]["metadata"]["finalizers"] == []


async def test_failing_again_writes_the_same_status_once() -> None:
    world = World(lambda observed: Plan(status=STATUS, apply=(manifest("Service", "demo"),)))
    world.api.fail["PATCH", "services"] = Forbidden(403, "Forbidden", "not allowed")
    await world.reconciler(KEY)
    version = world.api.objects[CLUSTER_PATH]["metadata"]["resourceVersion"]
    world.reconciler = dataclasses.replace(world.reconciler, now=lambda: datetime(2026, 11, 2, tzinfo=UTC))
    await world.reconciler(KEY)
    assert world.api.objects[CLUSTER_PATH]["metadata"]["resourceVersion"] == version
    assert world.status["conditions"][-1]["lastTransitionTime"] == "2026-11-01T12:00:00Z"


def conditions(world: World) -> dict[str, Any]:
    return {condition["type"]: condition for condition in world.status["conditions"]}


async def test_a_cluster_that_cannot_be_reconciled_is_degraded_and_says_so_first() -> None:
    well = {"type": "Degraded", "status": "False", "reason": "AllWell", "message": "", "lastTransitionTime": "then"}
    status = {"phase": "Ready", "message": "All is ready.", "conditions": [well, *STATUS["conditions"]]}
    world = World(lambda observed: Plan(status=status, apply=(manifest("Service", "demo"),)))
    world.api.fail["PATCH", "services"] = Forbidden(403, "Forbidden", "exceeded quota: q")
    await world.reconciler(KEY)
    why = "cannot apply Service demo: exceeded quota: q (403 Forbidden)."
    assert world.status["message"] == f"{why} All is ready."
    assert [c["type"] for c in world.status["conditions"]] == ["Degraded", "Ready", "Reconciled"]
    degraded = conditions(world)["Degraded"]
    assert (degraded["status"], degraded["reason"], degraded["message"]) == ("True", "ReconcileFailed", why)
    assert degraded["lastTransitionTime"] == "2026-11-01T12:00:00Z"
    world.api.fail.clear()
    await world.reconciler(KEY)
    assert world.status == status


async def test_what_was_wrong_besides_is_told_too() -> None:
    ill = {
        "type": "Degraded",
        "status": "True",
        "reason": "Fault",
        "message": "demo-2 is ill.",
        "lastTransitionTime": "t",
    }
    status = {"phase": "Degraded", "message": "demo-2 is ill.", "conditions": [ill]}
    world = World(lambda observed: Plan(status=status, apply=(manifest("Service", "demo"),)))
    world.api.fail["PATCH", "services"] = Forbidden(403, "Forbidden", "no")
    await world.reconciler(KEY)
    degraded = conditions(world)["Degraded"]
    assert degraded["reason"] == "Fault"
    assert (
        degraded["message"]
        == world.status["message"]
        == "cannot apply Service demo: no (403 Forbidden). demo-2 is ill."
    )


async def test_failing_to_plan_again_and_again_says_each_thing_once() -> None:
    def decide(observed: Observed) -> Plan:
        raise RuntimeError(f"number {len(world.observed) // 2}")

    world = World(decide)
    world.api.put(CLUSTER_PATH, metadata={"generation": 3}, spec={}, status={"message": "All is ready.", **STATUS})
    for passes in range(6):
        assert (await world.reconciler(KEY)).failed
        why = f"no plan could be made: RuntimeError: number {(passes + 1) // 2}."
        assert world.status["message"] == f"{why} All is ready."
        assert conditions(world)["Degraded"]["message"] == why


async def test_events_are_read_of_a_copy_that_waits_and_of_no_other() -> None:
    world = World()
    world.reconciler.warnings = Warnings(world.api)
    labels = {"aurorapg.io/cluster": "demo"}
    world.api.put("/api/v1/namespaces/ns/pods/demo-1-0", metadata={"labels": labels}, status={"phase": "Running"})
    spec = {"replicas": 1, "template": {"metadata": {}, "spec": {}}}
    for name in ("demo-1", "demo-2"):
        metadata: dict[str, Any] = {"labels": labels, "creationTimestamp": "2026-11-01T11:50:00Z", "uid": f"uid-{name}"}
        metadata["ownerReferences"] = [{"kind": "AuroraCluster", "uid": "uid-demo", "controller": True}]
        world.api.put(f"/apis/apps/v1/namespaces/ns/statefulsets/{name}", metadata=metadata, spec=spec)
        about = {"kind": "StatefulSet", "name": name, "uid": f"uid-{name}"}
        why = {"type": "Warning", "reason": "FailedCreate", "message": f"no pod for {name}"}
        world.api.put(f"/api/v1/namespaces/ns/events/{name}", involvedObject=about, **why)
    unready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-01T11:59:00Z"}
    world.api.put(
        CLUSTER_PATH, metadata={"generation": 3, "uid": "uid-demo"}, spec={}, status={"conditions": [unready]}
    )
    await world.reconciler(KEY)
    (observed,) = world.observed
    expected = {("StatefulSet", "demo-2"): ObjectWarning("FailedCreate", "no pod for demo-2")}
    assert observed.warnings == expected
    assert sum("/events" in path for method, path in world.api.calls if method == "GET") == 1


async def test_what_new_pods_need_is_looked_up_by_name() -> None:
    world = World()
    labels = {"aurorapg.io/cluster": "demo"}
    owner = [{"kind": "AuroraCluster", "uid": "uid-demo", "controller": True}]
    template = {"metadata": {}, "spec": {"imagePullSecrets": [{"name": "old"}]}}
    world.api.put(
        "/apis/apps/v1/namespaces/ns/statefulsets/demo-1",
        metadata={"labels": labels, "ownerReferences": owner},
        spec={"template": template},
    )
    world.api.put("/api/v1/namespaces/ns/secrets/there")
    world.api.put("/apis/scheduling.k8s.io/v1/priorityclasses/low")
    scheduling: dict[str, Any] = {"priorityClassName": "low"}
    spec = {"scheduling": scheduling, "image": {"pullSecrets": [{"name": n} for n in ("there", "gone", "old")]}}
    world.api.put(CLUSTER_PATH, metadata={"generation": 3, "uid": "uid-demo"}, spec=spec)
    await world.reconciler(KEY)
    known = {("Secret", "there"): True, ("Secret", "gone"): False, ("PriorityClass", "low"): True}
    assert world.observed[-1].looked_up == known
    scheduling["priorityClassName"] = "high"
    world.api.put(CLUSTER_PATH, metadata={"generation": 4, "uid": "uid-demo"}, spec=spec)
    await world.reconciler(KEY)
    assert world.observed[-1].looked_up[("PriorityClass", "high")] is False
    # An operator whose rights are older does not know, and does not fail.
    world.api.fail["GET", "/priorityclasses"] = Forbidden(403, "Forbidden", "not allowed")
    assert not (await world.reconciler(KEY)).failed
    assert ("PriorityClass", "high") not in world.observed[-1].looked_up


async def test_when_somebody_else_was_quicker_it_is_planned_again_and_nobody_worries() -> None:
    world = World(lambda observed: Plan(status=STATUS, apply=(manifest("EndpointSlice", "demo-writer"),)))
    world.api.fail["PATCH", "endpointslices"] = Conflict(409, "Conflict", "the object has been modified")
    outcome = await world.reconciler(KEY)
    assert (outcome.failed, outcome.again_in) == (False, 0.5)
    assert world.status == STATUS
    assert world.events == []


async def test_what_is_refused_about_a_secret_is_not_repeated() -> None:
    world = World(lambda observed: Plan(status=STATUS, apply=(manifest("Secret", "demo-app"),)))
    world.api.fail["PATCH", "secrets"] = Invalid(422, "Invalid", "Invalid value: hunter2")
    await world.reconciler(KEY)
    assert "hunter2" not in str(world.status) + str(world.events)
    assert "cannot apply Secret demo-app: 422 Invalid" in str(world.status)


async def test_no_plan_is_made_from_half_a_picture() -> None:
    world = World()
    await world.reconciler(KEY)
    world.api.fail["GET", "/secrets"] = NoAnswer("no answer")
    assert (await world.reconciler(KEY)).failed
    assert len(world.observed) == 1
    assert world.status["phase"] == "Ready"
    assert "no plan could be made" in world.status["conditions"][-1]["message"]


async def test_a_fault_in_planning_is_shown_and_changes_nothing() -> None:
    world = World()
    await world.reconciler(KEY)

    def fault(observed: Observed) -> Plan:
        raise ZeroDivisionError("a fault of ours")

    world.decide = fault
    assert (await world.reconciler(KEY)).failed
    assert world.status["phase"] == "Ready"
    assert "a fault of ours" in world.status["conditions"][-1]["message"]
    assert world.seen.passes[-1] == ("Ready", True)


async def test_an_agent_that_does_not_answer_is_no_failure_of_the_pass() -> None:
    world = World(lambda observed: Plan(status=STATUS, calls=(Restart("demo-1"), Restart("demo-2"))))
    world.agents.error = AgentError("demo-1 does not answer")
    assert not (await world.reconciler(KEY)).failed
    assert len(world.agents.calls) == 2


async def test_answers_of_parameter_checks_are_remembered() -> None:
    check = CheckParameters("demo-1", {"a": "1"}, "f1")
    world = World(lambda observed: Plan(status=STATUS, calls=() if observed.parameter_checks else (check,)))
    await world.reconciler(KEY)
    await world.reconciler(KEY)
    assert world.observed[1].parameter_checks == {"f1": ParameterCheckResult(errors={"a": "b"})}
    assert world.agents.calls == [check]


async def test_nothing_is_written_once_the_lease_is_lost() -> None:
    world = World(lambda observed: Plan(status=STATUS, apply=(manifest("Service", "demo"),)))
    world.active = False
    with pytest.raises(Stopped):
        await world.reconciler(KEY)
    assert world.api.writes == []


async def test_a_cluster_that_is_gone_is_forgotten() -> None:
    world = World()
    world.api.objects.clear()
    assert (await world.reconciler(KEY)).gone
    assert world.agents.forgotten == [KEY]
    assert world.seen.passes == [("forgotten", False)]


async def test_no_answer_about_the_cluster_is_not_its_end() -> None:
    world = World()
    world.api.fail["GET", "auroraclusters"] = NoAnswer("no answer")
    outcome = await world.reconciler(KEY)
    assert (outcome.gone, outcome.failed) == (False, True)


async def test_what_is_there_already_is_not_touched_and_read_by_its_name() -> None:
    world = World(
        lambda observed: Plan(
            status=STATUS, create=() if "demo" in observed.taken.get("Service", {}) else (manifest("Service", "demo"),)
        )
    )
    path = "/api/v1/namespaces/ns/services/demo"
    theirs = dict(world.api.put(path, spec={"selector": {"app": "shop"}}))
    outcome = await world.reconciler(KEY)
    assert (outcome.failed, outcome.again_in) == (False, 0.5), "it is looked at again at once"
    for _ in range(3):
        await world.reconciler(KEY)
        assert world.observed[-1].taken["Service"] == {"demo": theirs}
        assert "demo" not in world.observed[-1].children["Service"]
    assert world.api.objects[path] == theirs
    assert len([c for c in world.api.calls if c == ("POST", "/api/v1/namespaces/ns/services")]) == 1

    del world.api.objects[path]
    await world.reconciler(KEY)
    assert world.observed[-1].taken["Service"] == {}
    world.api.calls.clear()
    await world.reconciler(KEY)
    await world.reconciler(KEY)
    assert ("GET", path) not in world.api.calls, "a steady cluster reads nothing by name"


async def test_what_lost_its_label_is_known_by_its_owner() -> None:
    world = World(
        lambda observed: Plan(
            status=STATUS, create=() if observed.child("Service", "demo") else (manifest("Service", "demo"),)
        )
    )
    uid = world.api.objects[CLUSTER_PATH]["metadata"]["uid"]
    owner = {"kind": "AuroraCluster", "name": "demo", "uid": uid, "controller": True}
    world.api.put("/api/v1/namespaces/ns/services/demo", metadata={"ownerReferences": [owner]})
    await world.reconciler(KEY)
    await world.reconciler(KEY)
    assert world.observed[-1].child("Service", "demo") is not None

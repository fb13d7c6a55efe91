from __future__ import annotations

from typing import Any

import pytest
from tests.unit.controller.test_reconcile import FakeAgents
from tests.unit.kube.fake import FakeApi

from aurora_operator.controller.reconcile import Stopped
from aurora_operator.controller.snapshots import SnapshotReconciler
from aurora_operator.kube.errors import Forbidden, NoAnswer
from aurora_operator.planning.model.plan_model import EventSpec, Node, OperatorConfig, Raw, StorageClass
from aurora_operator.planning.snapshots.snapshot import FINALIZER

KEY = ("ns", "monday")
PATH = "/apis/aurorapg.io/v1alpha1/namespaces/ns/aurorasnapshots/monday"
HELD = "/apis/snapshot.storage.k8s.io/v1/namespaces/ns/volumesnapshots/monday"


class Shell:
    def __init__(self) -> None:
        self.api, self.said, self.leads = FakeApi(), list[EventSpec](), True

        async def surroundings() -> tuple[tuple[Node, ...], tuple[StorageClass, ...]]:
            return (), ()

        async def classes() -> tuple[Any, ...]:
            return ()

        async def say(about: Raw, event: EventSpec) -> None:
            self.said.append(event)

        self.run = SnapshotReconciler(
            api=self.api,
            operator=OperatorConfig("image", "aurora-system", {}),
            surroundings=surroundings,
            classes=classes,
            agents=FakeAgents(),
            say=say,
            may_write=lambda: self.leads,
        )


async def test_the_finalizer_comes_before_anything_and_the_status_tells_of_it() -> None:
    shell = Shell()
    shell.api.put(PATH, spec={"cluster": "demo"}, metadata={"generation": 1})
    outcome = await shell.run(KEY)
    assert not outcome.failed and not outcome.gone
    assert shell.api.objects[PATH]["metadata"]["finalizers"] == [FINALIZER]
    await shell.run(KEY)
    assert shell.api.objects[PATH]["status"]["message"] == "There is no AuroraCluster demo in namespace ns."
    assert [event.reason for event in shell.said] == ["Waiting", "CannotTakeSnapshot"]


async def test_it_lets_go_only_when_the_data_are_gone() -> None:
    shell = Shell()
    gone = {"generation": 1, "finalizers": [FINALIZER], "deletionTimestamp": "2026-03-01T12:00:00Z"}
    shell.api.put(PATH, spec={"cluster": "demo"}, metadata=gone, status={"volumeSnapshot": "monday"})
    shell.api.put(HELD, metadata={"labels": {"aurorapg.io/snapshot": "monday"}})
    shell.api.fail["DELETE", "volumesnapshots"] = NoAnswer("away")
    assert (await shell.run(KEY)).failed
    assert shell.api.objects[PATH]["metadata"]["finalizers"] == [FINALIZER]
    shell.api.fail.clear()
    await shell.run(KEY)
    assert HELD not in shell.api.objects and shell.api.objects[PATH]["metadata"]["finalizers"] == [FINALIZER]
    await shell.run(KEY)
    assert shell.api.objects[PATH]["metadata"]["finalizers"] == []


async def test_what_is_gone_needs_no_loop() -> None:
    assert (await Shell().run(KEY)).gone


async def test_nothing_is_written_without_the_lease() -> None:
    shell = Shell()
    shell.api.put(PATH, spec={"cluster": "demo"}, metadata={"generation": 1})
    shell.leads = False
    with pytest.raises(Stopped):
        await shell.run(KEY)
    assert not shell.api.writes


def backed_up(shell: Shell, **metadata: Any) -> dict[str, Any]:
    destination = {"s3": {"bucket": "backups", "endpoint": "s3.test"}, "path": "/b/snapshots/monday-uid-1234/1"}
    backup = {"path": destination["path"], "repository": {"destination": destination, "stanza": "demo-1"}}
    status = {"phase": "Ready", "completedAt": "2026-03-01T12:00:00Z", "backup": backup}
    about = {"generation": 1, "finalizers": [FINALIZER], "uid": "uid-1234", **metadata}
    shell.api.put(PATH, spec={"cluster": "demo", "method": "Backup"}, metadata=about, status=status)
    return shell.api.objects[PATH]


JOB = "/apis/batch/v1/namespaces/ns/jobs/monday-uid-1234-remove"


async def test_a_job_removes_a_backup_and_then_it_is_let_go() -> None:
    shell = Shell()
    held = backed_up(shell, deletionTimestamp="2026-03-01T12:00:00Z")
    assert not (await shell.run(KEY)).failed
    job = shell.api.objects[JOB]
    assert job["metadata"]["labels"]["aurorapg.io/snapshot-uid"] == "uid-1234"
    await shell.run(KEY)
    assert held["metadata"]["finalizers"] == [FINALIZER]
    job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    await shell.run(KEY)
    assert shell.api.objects[PATH]["metadata"]["finalizers"] == []


async def test_a_namespace_that_ends_takes_no_job_and_keeps_no_snapshot() -> None:
    shell = Shell()
    backed_up(shell, deletionTimestamp="2026-03-01T12:00:00Z")
    why = 'jobs "x" is forbidden: unable to create new content in namespace ns because it is being terminated'
    shell.api.fail["POST", "jobs"] = Forbidden(403, "Forbidden", why)
    assert (await shell.run(KEY)).failed
    assert shell.api.objects[PATH]["metadata"]["finalizers"] == [FINALIZER]
    await shell.run(KEY)
    assert shell.api.objects[PATH]["metadata"]["finalizers"] == []
    assert shell.said[-1].reason == "SnapshotLeft"
    # A namespace of the same name is made later: what its snapshots hold is removed again.
    del shell.api.fail["POST", "jobs"]
    held = backed_up(shell, deletionTimestamp="2026-03-01T13:00:00Z")
    held["metadata"]["uid"] = "uid-1234-later"
    await shell.run(KEY)
    assert [path for path in shell.api.objects if "/jobs/" in path]
    assert shell.api.objects[PATH]["metadata"]["finalizers"] == [FINALIZER]

"""Backups and restores in the world in memory: what is asked for, mounted, called and said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.planning.recording import plan
from tests.unit.planning.stories import ready
from tests.unit.planning.world import World, cluster, some_supplies

from aurora_operator.api.agent.messages import AgentStatus, BackupEntry, BackupReport, BackupRun
from aurora_operator.api.agent.origin import RestoreOrigin
from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base import names
from aurora_operator.planning.model.plan_model import Plan, TakeBackup

S3 = {"bucket": "backups", "endpoint": "s3.test", "credentials": {"name": "keys"}, "caSecret": {"name": "authority"}}
BACKUP = {"destination": {"s3": S3}, "encryption": {"secret": {"name": "phrase"}}}
REPORT = BackupReport(stanza="demo-uid-demo", path="/aurora/default", archiving=True, known=True)


def planned(world: World, report: BackupReport | None, runs: dict[str, BackupRun] | None = None) -> Plan:
    """A plan on the world as it is, with this said about backups."""
    seen = world.observe()
    writer = world.resource["status"]["writer"]
    agents = {}
    for name, agent in seen.agents.items():
        assert isinstance(agent, AgentStatus)
        told = {"backup": report if name == writer else None, "backup_run": (runs or {}).get(name)}
        agents[name] = agent.model_copy(update=told)
    return plan(replace(seen, agents=agents), some_supplies(), world.now)


def taken(made: Plan) -> list[TakeBackup]:
    return [call for call in made.calls if isinstance(call, TakeBackup)]


def said(made: Plan) -> tuple[str, str]:
    found = next(c for c in made.status["conditions"] if c["type"] == "BackupHealthy")
    return found["status"], found["reason"]


def pod_of(world: World, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = world.objects["StatefulSet"][name]["spec"]["template"]["spec"]
    return spec


def settings_of(world: World) -> Settings:
    return Settings.model_validate_json(world.objects["ConfigMap"]["demo-settings"]["data"]["settings.json"])


def test_the_pods_get_the_destinations_secrets() -> None:
    world = ready(instances=3, durability={"copies": 3}, backup=BACKUP)
    pod = pod_of(world, "demo-1")
    secrets = {v["name"]: v["secret"] for v in pod["volumes"] if v["name"].startswith("backup-")}
    assert {name: secret["secretName"] for name, secret in secrets.items()} == {
        "backup-credentials": "keys",
        "backup-ca": "authority",
        "backup-encryption": "phrase",
    }
    assert all(secret["optional"] for secret in secrets.values())
    backup = settings_of(world).backup
    assert backup is not None and backup.repository.stanza == names.stanza("demo", "uid-demo")
    assert backup.repository.destination.path == "/aurora/default"


def test_a_reader_takes_the_first_backup_once_all_wal_is_archived() -> None:
    world = ready(instances=3, durability={"copies": 3}, backup=BACKUP)
    assert not taken(planned(world, None)) and said(planned(world, None))[0] == "Unknown"
    assert not taken(planned(world, REPORT.model_copy(update={"archiving": False})))
    (call,) = taken(planned(world, REPORT))
    assert call.kind == "full" and call.instance != world.resource["status"]["writer"]
    running = {call.instance: BackupRun(kind="full", started_at=world.now.isoformat())}
    made = planned(world, REPORT, running)
    assert not taken(made) and made.status["backup"]["running"] == f"full on {call.instance}"


def test_a_backup_that_the_writer_has_not_seen_yet_is_not_taken_again() -> None:
    world = ready(instances=3, durability={"copies": 3}, backup=BACKUP)
    at = world.now.isoformat()
    done = {"demo-2": BackupRun(kind="full", started_at=at, finished_at=at)}
    assert not taken(planned(world, REPORT, done))
    assert not taken(planned(world, REPORT.model_copy(update={"needs_backup": True}), done))
    seen = BackupEntry(label="F", kind="full", started_at=at, finished_at=at, size_bytes=1, stored_bytes=1)
    assert taken(planned(world, REPORT.model_copy(update={"needs_backup": True, "backups": (seen,)}), done))
    world.now += timedelta(minutes=6)
    assert taken(planned(world, REPORT, done))


def test_a_backup_that_failed_is_told_and_tried_again_later() -> None:
    world = ready(instances=3, durability={"copies": 3}, backup=BACKUP)
    at = world.now.isoformat()
    failed = {"demo-2": BackupRun(kind="full", started_at=at, finished_at=at, error="no room")}
    made = planned(world, REPORT, failed)
    assert not taken(made) and said(made) == ("False", "BackupFailed")
    world.now += timedelta(minutes=6)
    assert taken(planned(world, REPORT, failed))


@pytest.mark.parametrize(
    ("cause", "reason"), [("credentials", "CredentialsRefused"), ("unreachable", "DestinationUnreachable")]
)
def test_what_keeps_wal_from_being_stored_is_said_and_fails_nobody_over(cause: str, reason: str) -> None:
    world = ready(instances=3, durability={"copies": 3}, backup=BACKUP)
    made = planned(world, REPORT.model_copy(update={"cause": cause, "error": "it is so", "waiting_segments": 3}))
    assert said(made) == ("False", reason)
    assert any(event.reason == "BackupFailing" and "It is so" in event.message for event in made.events)
    assert made.status["writer"] == world.resource["status"]["writer"] and not made.delete


def test_a_backup_by_hand_is_taken_once() -> None:
    world = ready(instances=3, durability={"copies": 3}, backup=BACKUP)
    notes = world.resource["metadata"].setdefault("annotations", {})
    notes[names.ANNOTATION_BACKUP] = "diff"
    made = planned(world, REPORT)
    token = made.annotations[names.ANNOTATION_BACKUP]
    assert token is not None and token.startswith("diff/") and not taken(made)
    notes[names.ANNOTATION_BACKUP] = token
    (call,) = taken(planned(world, REPORT))
    assert (call.kind, call.token) == ("diff", token.partition("/")[2])
    at = world.now.isoformat()
    done = {call.instance: BackupRun(kind="diff", token=call.token, started_at=at, finished_at=at)}
    assert planned(world, REPORT, done).annotations == {names.ANNOTATION_BACKUP: None}
    notes[names.ANNOTATION_BACKUP] = "everything"
    refused = planned(world, REPORT)
    assert refused.annotations == {names.ANNOTATION_BACKUP: None}
    assert [event.reason for event in refused.events if event.type == "Warning"] == ["BackupRefused"]


def test_a_restore_is_in_force_before_there_is_any_instance() -> None:
    restore = {"destination": {"s3": S3}, "stanza": "old-1f2e3d4c", "target": {"lsn": "0/3000000"}}
    world = World(cluster(instances=1, durability={"copies": 1}, restoreFrom=restore))
    for _ in range(6):
        made = world.step()
        if any(obj["kind"] == "PersistentVolumeClaim" for obj in made.create):
            break
        assert not world.objects.get("PersistentVolumeClaim") and not world.objects.get("StatefulSet")
    origin = settings_of(world).origin
    assert isinstance(origin, RestoreOrigin)
    assert (origin.repository.stanza, origin.target.lsn) == ("old-1f2e3d4c", "0/3000000")
    world.step()
    assert any(v["name"] == "restore-credentials" for v in pod_of(world, "demo-1")["volumes"])


def test_what_a_restore_mounted_stays_so_that_no_pod_is_replaced_for_it() -> None:
    restore = {"destination": {"s3": S3}, "stanza": "old-1f2e3d4c"}
    world = ready(instances=1, durability={"copies": 1}, restoreFrom=restore)
    assert settings_of(world).origin is None
    assert any(v["name"] == "restore-credentials" for v in pod_of(world, "demo-1")["volumes"])
    origin = world.resource["status"]["origin"]
    assert origin["method"] == "Restore" and origin["completedAt"]


def test_the_backups_of_a_cluster_are_found_by_its_name() -> None:
    source = World(cluster("source", instances=1, durability={"copies": 1}, backup=BACKUP))
    source.settle()
    world = World(cluster(instances=1, durability={"copies": 1}, restoreFrom={"cluster": "source"}))
    waiting = world.step()
    for _ in range(3):
        waiting = world.step()
    assert "does not exist" in waiting.status["message"]
    world.source = source
    world.step()
    origin = settings_of(world).origin
    assert isinstance(origin, RestoreOrigin)
    assert origin.repository.stanza == names.stanza("source", "uid-source")
    assert origin.repository.encryption is not None

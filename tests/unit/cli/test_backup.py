from __future__ import annotations

from typing import Any

import pytest
from tests.unit.cli.test_cli import PATH, api, invoke
from tests.unit.kube.fake import FakeApi

from aurora_operator.api.base import names
from aurora_operator.cli.backup import Outcome, outcome

__all__ = ["api"]
BACKUP = {"destination": {"volume": {"claimName": "backups"}}}
UNHEALTHY = {"type": "BackupHealthy", "status": "False", "message": "The destination cannot be reached."}


def cluster(*labels: str, asked: bool = False, running: bool = False, sick: bool = False) -> dict[str, Any]:
    backup = {"backups": [{"label": label} for label in labels], "running": "full by demo-2" if running else None}
    annotations = {names.ANNOTATION_BACKUP: "full/20261125T120000Z"} if asked else {}
    status = {"backup": backup, "conditions": [UNHEALTHY] if sick else []}
    return {"metadata": {"name": "demo", "annotations": annotations}, "status": status}


@pytest.mark.parametrize(
    ("found", "ended"),
    [
        (cluster("old", asked=True), None),
        (cluster("old", "new", asked=True), None),
        (cluster("old", running=True, sick=True), None),
        (cluster("old"), None),  # the writer has not looked yet
        (cluster("old", sick=True), Outcome(True, "the backup failed: The destination cannot be reached.")),
        (cluster("old", "new"), Outcome(False, "backup new is complete")),
        (cluster("new", sick=True), Outcome(False, "backup new is complete")),
        ({"metadata": {"name": "demo"}}, None),
    ],
)
def test_how_a_backup_ends(found: dict[str, Any], ended: Outcome | None) -> None:
    assert outcome(found, frozenset({"old"})) == ended


def test_it_is_asked_for_by_the_annotation(api: FakeApi) -> None:
    assert "spec.backup of demo is not set" in _refused(api, {})
    api.put(PATH, spec={"backup": BACKUP})
    result = invoke("backup", "demo", "--type", "incr", "--timeout", "0")
    assert result.exit_code == 0 and "asked for" in result.output, result.output
    asked = api.objects[PATH]["metadata"]["annotations"][names.ANNOTATION_BACKUP]
    assert asked.partition("/")[0] == "incr" and asked.partition("/")[2]
    again = invoke("backup", "demo", "--timeout", "0")
    assert again.exit_code == 1 and "a backup has been asked for already" in again.output
    assert invoke("backup", "demo", "--type", "some").exit_code == 2


def _refused(api: FakeApi, spec: dict[str, Any]) -> str:
    api.put(PATH, spec=spec)
    result = invoke("backup", "demo")
    assert result.exit_code == 1
    return str(result.output)

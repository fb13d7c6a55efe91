"""Two releases talk: documents of the next one, with fields that this one does not know, at every depth."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from aurora_operator.api.agent.messages import AgentStatus, SnapshotRequest
from aurora_operator.api.agent.record import Record
from aurora_operator.api.agent.rehearsal import RehearsalTask
from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base.base import WireModel
from aurora_operator.api.status import AuroraClusterStatus

UNKNOWN = {"fieldOfTheNextRelease": {"more": [1, {"and": "more"}]}}

REPOSITORY: dict[str, Any] = {
    "destination": {
        "s3": {
            "bucket": "backups",
            "endpoint": "s3.storage.svc:7070",
            "credentials": {"name": "s3-key"},
            "caSecret": {"name": "s3-ca"},
        },
        "path": "/aurora/default",
    },
    "stanza": "demo-7f3a",
    "encryption": {"secret": {"name": "passphrase"}},
}
CONFIG: dict[str, Any] = {"epoch": 33, "version": 2, "voters": ["demo-1/0a0b0c0d"], "writeQuorum": 1}

DOCUMENTS: dict[str, tuple[type[WireModel], dict[str, Any]]] = {
    "settings": (
        Settings,
        {
            "cluster": "demo",
            "namespace": "default",
            "clusterUid": "u",
            "revision": 4,
            "engineVersion": "17",
            "bootstrap": "demo-1",
            "members": [
                {
                    "name": "demo-1",
                    "ordinal": 1,
                    "host": "demo-1-0.demo-pods.default.svc",
                    "capacity": {"least": 0.5, "most": 8, "scalingPoint": {"secondsBeforeTimeout": 300}},
                }
            ],
            "voters": ["demo-1"],
            "writeQuorum": 1,
            "databaseName": "app",
            "masterUsername": "app",
            "parameters": {"work_mem": "8MB"},
            "timings": {"leaseMs": 3000},
            "autoPause": {"ignoreUsers": ["monitor"]},
            "origin": {
                "kind": "restore",
                "source": "backups of demo",
                "repository": REPOSITORY,
                "target": {"time": "2026-11-25T14:03:59Z"},
            },
            "backup": {"repository": REPOSITORY, "retentionDays": 7, "recoveryPointSeconds": 5},
        },
    ),
    "status of an agent": (
        AgentStatus,
        {
            "name": "demo-1",
            "incarnation": "0a0b0c0d",
            "phase": "Leading",
            "role": "writer",
            "config": CONFIG,
            "replicas": [
                {
                    "name": "demo-2",
                    "incarnation": "0a0b0c0e",
                    "state": "streaming",
                    "flushLsn": 7,
                    "replayLsn": 7,
                    "lagBytes": 0,
                    "lagSeconds": 0.5,
                    "voting": True,
                }
            ],
            "load": {},
            "volume": {"sizeBytes": 10, "usedBytes": 5},
            "capacity": {"now": 1, "wanted": 2},
        },
    ),
    "record": (
        Record,
        {"state": "initialised", "epoch": 33, "leader": "demo-1/0a0b0c0d", "config": CONFIG},
    ),
    "task of a rehearsal": (RehearsalTask, {"repository": REPOSITORY, "database": "app"}),
    "request for a snapshot": (SnapshotRequest, {"token": "t", "repository": REPOSITORY}),
    "status of a cluster": (
        AuroraClusterStatus,
        {
            "phase": "Ready",
            "members": [{"name": "demo-1", "kind": "instance", "role": "writer"}],
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "AllWell",
                    "message": "",
                    "lastTransitionTime": "2026-11-25T14:03:59Z",
                }
            ],
        },
    ),
}

FREE = {"parameters"}
"""Fields whose keys are a user's: there is no unknown one."""


def objects(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all objects in a document, itself included."""
    if isinstance(document, dict):
        yield path
        for key, value in document.items():
            if key not in FREE:
                yield from objects(value, (*path, key))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from objects(value, (*path, number))


CASES = [
    pytest.param(model, document, path, id=f"{name}: {'.'.join(map(str, path)) or 'itself'}")
    for name, (model, document) in DOCUMENTS.items()
    for path in objects(document)
]


@pytest.mark.parametrize(("model", "document", "path"), CASES)
def test_a_field_of_the_next_release_is_ignored_at_every_depth(
    model: type[WireModel], document: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    known = model.model_validate(document)
    newer = copy.deepcopy(document)
    place: Any = newer
    for step in path:
        place = place[step]
    place |= UNKNOWN
    assert model.model_validate(newer) == known
    assert model.model_validate_json(json.dumps(newer)) == known


@pytest.mark.parametrize(("model", "document"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_what_one_release_writes_another_reads(model: type[WireModel], document: dict[str, Any]) -> None:
    known = model.model_validate(document)
    assert model.model_validate_json(known.model_dump_json(by_alias=True)) == known

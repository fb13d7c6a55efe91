"""The record and the writer's endpoint as Kubernetes holds them, damaged ones included."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from aurora_operator.agent.member.kubeapi import KubeApi, KubeError, record_in
from aurora_operator.api.agent.record import RECORD_KEY, Record
from aurora_operator.api.base import names

CONFIG = {"epoch": 34, "version": 2, "voters": ["demo-1/0123abcd"], "writeQuorum": 1}
GOOD: dict[str, Any] = {"state": "initialised", "epoch": 34, "leader": "demo-1/0123abcd", "config": CONFIG}


def held(text: str) -> dict[str, Any]:
    return {"metadata": {"name": "demo-record", "resourceVersion": "7"}, "data": {RECORD_KEY: text}}


def test_a_record_is_read() -> None:
    assert record_in(held(json.dumps(GOOD))) == (Record.model_validate(GOOD), "7")


@pytest.mark.parametrize(
    ("damaged", "why"),
    [
        ({}, "no resourceVersion"),
        ({"metadata": {"name": "demo-record", "resourceVersion": "7"}}, "it has no record.json"),
        ({**held(""), "data": None}, "it has no record.json"),
        ({**held(""), "data": {RECORD_KEY: 7}}, "it has no record.json"),
        (held(""), "record.json: "),
        (held("{}"), "state"),
        (held("[]"), "record.json: "),
        (held(json.dumps({**GOOD, "epoch": -1})), "-1 is no epoch"),
        (held(json.dumps({**GOOD, "epoch": 1 << 40})), "is no epoch"),
        (held(json.dumps({**GOOD, "epoch": "many"})), "epoch"),
        (held(json.dumps({**GOOD, "config": {}})), "config"),
        (held(json.dumps({**GOOD, "config": {**CONFIG, "version": -1}})), "34.-1 is no membership's number"),
        (held(json.dumps({**GOOD, "config": {**CONFIG, "floorEpoch": -1}})), "-1.0 is no membership's number"),
        (held(json.dumps({**GOOD, "config": {**CONFIG, "writeQuorum": 0}})), "0 of 1 voters is no write quorum"),
        (held(json.dumps({**GOOD, "config": {**CONFIG, "writeQuorum": 2}})), "2 of 1 voters is no write quorum"),
        (held(json.dumps({**GOOD, "config": {**CONFIG, "nextWriteQuorum": 1}})), "1 of 0 voters is no write quorum"),
    ],
)
def test_a_damaged_record_is_an_error_that_says_so(damaged: dict[str, Any], why: str) -> None:
    with pytest.raises(KubeError, match=why):
        record_in(damaged)


@pytest.mark.parametrize(
    ("annotations", "published"),
    [
        (None, True),
        ({}, True),
        ({names.ANNOTATION_EPOCH: "33"}, True),
        ({names.ANNOTATION_EPOCH: "35"}, False),
        ({names.ANNOTATION_EPOCH: "-9"}, True),
        ({names.ANNOTATION_EPOCH: "newest"}, True),
        ({names.ANNOTATION_EPOCH: "9" * 5000}, True),
        ([], True),
    ],
)
async def test_an_endpoint_whose_epoch_is_none_is_written_anew(
    monkeypatch: pytest.MonkeyPatch, annotations: Any, published: bool
) -> None:
    live = {"metadata": {"name": "demo", "annotations": annotations}, "endpoints": None}
    put: list[dict[str, Any]] = []
    made: Any = KubeApi.__new__(KubeApi)
    made._environment = SimpleNamespace(
        cluster="demo", namespace="ns", pod_ip="10.0.0.1", pod_name="demo-1-0", pod_uid="u", zone=None
    )

    async def get(_: str) -> dict[str, Any]:
        return live

    async def keep(_: str, body: dict[str, Any]) -> None:
        put.append(body)

    made._api = SimpleNamespace(get=get, put=keep)
    assert await made.publish_writer(34) is published
    assert [body["metadata"]["annotations"][names.ANNOTATION_EPOCH] for body in put] == ["34"] * published

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.unit.kube.fake import FakeApi
from typer.testing import CliRunner

from aurora_operator.api.base import names
from aurora_operator.cli import main as cli
from aurora_operator.cli.options import Target
from aurora_operator.cli.render import human_bytes, lag, render
from aurora_operator.kube import client

PATH = "/apis/aurorapg.io/v1alpha1/namespaces/ns/auroraclusters/demo"
MEMBERS = [
    {"name": "demo-1", "role": "writer", "ready": True, "zone": "zone-a", "tier": 1, "phase": "Leading"},
    {
        "name": "demo-2", "role": "none", "ready": False, "zone": "zone-b", "tier": 0, "phase": "Cloning",
        "lagBytes": 3 << 20, "lagSeconds": 1.25, "message": "42 %", "pendingRestart": ["max_connections"],
    },
]  # fmt: skip
STATUS = {
    "phase": "Degraded",
    "message": "One instance is being made.",
    "observedGeneration": 4,
    "writer": "demo-1",
    "epoch": 9,
    "ready": "1/2",
    "endpoints": {"writer": "demo.ns.svc", "reader": "demo-ro.ns.svc", "port": 5432, "secret": "demo-app"},
    "durability": {"copies": 3, "aliveCopies": 2, "writeQuorum": 2, "readQuorum": 2, "zones": ["zone-a", "zone-b"]},
    "members": MEMBERS,
    "conditions": [
        {"type": "Available", "status": "True", "reason": "Fine", "message": "quiet"},
        {"type": "Degraded", "status": "True", "reason": "InstanceMissing", "message": "demo-2 does not serve."},
        {"type": "Progressing", "status": "False", "reason": "Idle", "message": "quiet"},
    ],
}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeApi:
    made = FakeApi()

    @contextlib.asynccontextmanager
    async def connect(**_: Any) -> AsyncIterator[FakeApi]:
        yield made

    monkeypatch.setattr(client, "connect", connect)
    monkeypatch.setattr(client, "default_namespace", lambda *_: "ns")
    monkeypatch.setattr(cli, "_POLL_SECONDS", 0.01)
    return made


def invoke(*words: str) -> Any:
    return CliRunner().invoke(cli.app, list(words))


def shown(cluster: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(render(cluster))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_status_shows_all_and_names_only_what_is_wrong() -> None:
    text = shown({"metadata": {"name": "demo", "namespace": "ns", "generation": 4}, "status": STATUS})
    for part in ("ns/demo", "Degraded", "demo-1 (epoch 9)", "1/2 serve", "demo-ro.ns.svc:5432", "Secret demo-app"):
        assert part in text
    assert "2 of 3 copies alive in zone-a, zone-b; a commit waits for 2" in text
    assert "42 % restart pending: max_connections" in text
    assert "InstanceMissing: demo-2 does not serve." in text
    assert "quiet" not in text
    assert "has not seen" not in text


def test_a_cluster_that_nobody_has_looked_at() -> None:
    text = shown({"metadata": {"name": "demo", "namespace": "ns", "generation": 1}})
    assert "not looked at yet" in text
    assert "The operator has not seen the latest spec yet." in text


def test_lag() -> None:
    assert lag({}) == "-"
    assert lag({"lagBytes": 0, "lagSeconds": 0.0}) == "0 B, 0.0 s"
    assert [human_bytes(n) for n in (1023, 1536, 5 << 30, 3 << 40)] == ["1023 B", "1.5 KiB", "5.0 GiB", "3.0 TiB"]


def test_status_of_what_is_not_there(api: FakeApi) -> None:
    result = invoke("status", "demo")
    assert result.exit_code == 1
    assert "there is no AuroraCluster demo in namespace ns" in result.stderr
    api.put(PATH, status=STATUS)
    assert "demo-1" in invoke("status", "demo").stdout


def test_switchover_is_an_annotation(api: FakeApi) -> None:
    api.put(PATH, status=STATUS)
    assert invoke("switchover", "demo", "--to", "demo-2", "--timeout", "0").exit_code == 0
    (to_one,) = api.objects[PATH]["metadata"]["annotations"].values()
    invoke("switchover", "demo", "--timeout", "0")
    (to_any,) = api.objects[PATH]["metadata"]["annotations"].values()
    invoke("switchover", "demo", "--timeout", "0")
    assert api.objects[PATH]["metadata"]["annotations"].keys() == {names.ANNOTATION_SWITCHOVER}
    (again,) = api.objects[PATH]["metadata"]["annotations"].values()
    assert [text.partition("/")[0] for text in (to_one, to_any, again)] == ["demo-2", "any", "any"]
    assert again != to_any, "asking again is another request"


def test_switchover_waits_for_another_writer(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.put(PATH, status=STATUS)
    request, polls = api.request, []

    async def obey(method: str, path: str, **given: Any) -> dict[str, Any]:
        polls.append(method)
        if len(polls) == 5:
            api.objects[PATH]["status"] = {**STATUS, "writer": "demo-2"}
        return await request(method, path, **given)

    monkeypatch.setattr(api, "request", obey)
    result = invoke("switchover", "demo")
    assert result.exit_code == 0
    assert "demo-2 is the writer now" in result.stdout


def test_switchover_that_nobody_carries_out(api: FakeApi) -> None:
    api.put(PATH, status=STATUS)
    result = invoke("switchover", "demo", "--timeout", "0.05")
    assert result.exit_code == 1
    assert "is under way or waits; see: kubectl describe auroracluster demo" in result.stderr


def test_switchover_to_nowhere(api: FakeApi) -> None:
    api.put(PATH, status=STATUS)
    result = invoke("switchover", "demo", "--to", "demo-9")
    assert result.exit_code == 1
    assert "demo has no instance demo-9; it has demo-1, demo-2" in result.stderr
    assert "demo-1 is the writer already" in invoke("switchover", "demo", "--to", "demo-1").stdout
    assert api.writes == []


def test_psql_runs_in_the_writers_pod() -> None:
    cluster = {"metadata": {"name": "demo"}, "spec": {"databaseName": "shop"}, "status": STATUS}
    words = cli.psql_command(Target("/k", "kind-aurora", "ns"), cluster, None, ["-c", "select 1"], tty=False)
    assert words == [
        *("kubectl", "--kubeconfig", "/k", "--context", "kind-aurora", "--namespace", "ns"),
        *("exec", "--stdin", "demo-1-0", "--container", "postgres", "--"),
        *("psql", "--host", "/run/postgresql", "--username", "postgres", "--dbname", "dbname='shop'", "-c", "select 1"),
    ]
    there = cli.psql_command(Target(None, None, "ns"), cluster, "demo-2", [], tty=True)
    assert "--tty" in there
    assert "demo-2-0" in there


LOSS = {
    "survivors": ["demo-1/aa", "demo-log-1/bb"],
    "lost": ["demo-2/cc", "demo-3/dd"],
    "positions": {"demo-1/aa": "3:0/1000", "demo-2/cc": "3:0/2000"},
    "lostBytes": 4096,
    "configEpoch": 3,
    "configVersion": 7,
    "fingerprint": "f00d",
}


def lossy(api: FakeApi, loss: dict[str, Any] | None) -> None:
    status = {**STATUS, **({} if loss is None else {"dataLoss": loss})}
    api.put(PATH, status=status)


def test_data_loss_is_stated_and_not_accepted_without_repeating_it(api: FakeApi) -> None:
    lossy(api, LOSS)
    shown = invoke("accept-data-loss", "demo")
    assert shown.exit_code == 0
    for text in ("demo-1 in zone-a, at 3:0/1000", "demo-2 in zone-b, at 3:0/2000", "Lost: 4096 bytes"):
        assert text in shown.output
    assert "--yes-lose 4096-bytes@f00d" in shown.output
    refused = invoke("accept-data-loss", "demo", "--yes-lose", "0-bytes@f00d")
    assert refused.exit_code == 1 and "not accepted" in refused.output
    assert names.ANNOTATION_ACCEPT_DATA_LOSS not in api.objects[PATH]["metadata"].get("annotations", {})
    accepted = invoke("accept-data-loss", "demo", "--yes-lose", "4096-bytes@f00d")
    assert accepted.exit_code == 0
    assert api.objects[PATH]["metadata"]["annotations"] == {names.ANNOTATION_ACCEPT_DATA_LOSS: "f00d:demo-1,demo-log-1"}


def test_with_a_quorum_there_is_nothing_to_accept(api: FakeApi) -> None:
    lossy(api, None)
    answer = invoke("accept-data-loss", "demo", "--yes-lose", "0-bytes@f00d")
    assert answer.exit_code == 1 and "nothing to accept" in answer.output

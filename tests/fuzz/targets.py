"""What is fuzzed. Each target is a function of one input that must not raise; hypothesis makes the inputs."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h11
import httpx
from hypothesis import strategies as st
from pydantic import ValidationError

from aurora_operator.agent.member.durable_state import Store, StoreError
from aurora_operator.agent.member.kubeapi import KubeError, config_of, epoch_in, record_in
from aurora_operator.agent.peers.wire import Envelope, WireError, decode, encode
from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.agent.record import RECORD_KEY, Record
from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base import names
from aurora_operator.consensus.messages import PreVote
from aurora_operator.controller.agents import AgentError, _error_of, _parse
from aurora_operator.gateway.packets import First, classify
from aurora_operator.net.kubernetes import at, items
from aurora_operator.postgres.wal.timeline import parse_history

JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
STATUS: Final = json.loads(
    AgentStatus(name="demo-1", incarnation="0123abcd", phase="Leading", role="writer").model_dump_json(by_alias=True)
)
RECORD: Final[dict[str, Any]] = {
    "state": "initialised", "owner": "demo-1/0123abcd", "epoch": 34, "leader": "demo-1/0123abcd",
    "config": {"epoch": 34, "version": 2, "voters": ["demo-1/0123abcd"], "writeQuorum": 1},
}  # fmt: skip
SETTINGS: Final = json.loads(
    Settings(
        cluster="demo", namespace="ns", cluster_uid="u", revision=1, engine_version="17", bootstrap="demo-1",
        members=(), voters=("demo-1",), write_quorum=1, database_name="app", master_username="app",
    ).model_dump_json(by_alias=True)
)  # fmt: skip
LINE: Final = encode(Envelope("demo-1/0123abcd", "10.0.0.1", PreVote(7)))
STARTUP: Final = b"\x00\x00\x00\x13\x00\x03\x00\x00user\x00app\x00\x00"
FILES: Final = ("consensus.json", "rested.json", "settings.json", "parameters.json", "identity.json")


@st.composite
def near(draw: st.DrawFn, valid: Any) -> Any:
    """A valid value in which some places were changed."""
    if draw(st.integers(0, 5)) == 0:
        return draw(JSON)
    if isinstance(valid, dict) and valid:
        key = draw(st.sampled_from(sorted(valid)))
        if draw(st.integers(0, 4)) == 0:
            return {k: v for k, v in valid.items() if k != key}
        return {**valid, key: draw(near(valid[key]))}
    if isinstance(valid, list) and valid:
        return [draw(near(valid[0])), *valid[1:]]
    if isinstance(valid, int) and not isinstance(valid, bool):
        return draw(st.integers(-(2**70), 2**70) | st.integers(-3, 70))
    return draw(JSON)


@st.composite
def torn(draw: st.DrawFn, valid: bytes) -> bytes:
    """Valid bytes, cut and with others put in."""
    first, second = sorted((draw(st.integers(0, len(valid))), draw(st.integers(0, len(valid)))))
    return valid[:first] + draw(st.binary(max_size=40)) + valid[second:]


def written(valid: Any) -> st.SearchStrategy[bytes]:
    """A JSON document as somebody else may have written it."""
    return (
        st.binary(max_size=200) | near(valid).map(lambda v: json.dumps(v).encode()) | torn(json.dumps(valid).encode())
    )


def record(text: bytes) -> None:
    """What a leader's agent reads of the record's ConfigMap."""
    live = {"metadata": {"name": "demo-record", "resourceVersion": "7"}, "data": {RECORD_KEY: text.decode("latin-1")}}
    with contextlib.suppress(KubeError):
        found, _ = record_in(live)
        assert isinstance(found, Record) and 0 <= found.epoch < 1 << 32
        if found.config is not None:
            config = config_of(found.config)
            assert config.old.write <= len(config.old.voters) and min(config.key) >= 0


def kubernetes(answer: Any) -> None:
    """Any object that the Kubernetes API may answer."""
    with contextlib.suppress(KubeError):
        record_in(answer if isinstance(answer, dict) else {})
    assert epoch_in(answer if isinstance(answer, dict) else {}) >= 0
    assert epoch_in({names.ANNOTATION_EPOCH: answer}) < 1 << 32
    for item in items(answer, "endpoints"):
        at(item, "addresses", 0)


def peer(line: bytes) -> None:
    """A line from another agent."""
    with contextlib.suppress(WireError):
        decode(line)


def history(text: bytes) -> None:
    """A timeline's history that another copy tells."""
    with contextlib.suppress(ValueError):
        parse_history(35, text.decode("latin-1"))


def files(content: bytes) -> None:
    """Each file of the durable state."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for name in FILES:
            (Path(folder) / name).write_bytes(content)
        for read in (store.durable, store.take_rested, store.settings, store.parameters):
            with contextlib.suppress(StoreError):
                read()
        with contextlib.suppress(StoreError):
            store.take("ns/demo/demo-1", has_data=True)


def settings(content: bytes) -> None:
    """Settings, as they are mounted or pushed."""
    with contextlib.suppress(ValidationError):
        Settings.model_validate_json(content)


def status(content: bytes) -> None:
    """What the operator reads of an agent's status, or of its refusal."""
    with contextlib.suppress(AgentError):
        assert len(_parse(AgentStatus, content, "demo-1").name) < 1 << 20
    assert len(_error_of(httpx.Response(409), content)) < 600


def packet(data: bytes) -> None:
    """What a client of a sleeping cluster sends first, in whatever pieces."""
    whole = classify(data)
    assert isinstance(whole, First)
    for size in range(0, len(data), 7):
        part = classify(data[:size])
        assert part in (First.INCOMPLETE, whole) or not whole.wakes


def request(data: bytes) -> None:
    """What anybody sends to the agent's HTTP ports, as far as the protocol goes."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=4096)
    with contextlib.suppress(h11.RemoteProtocolError):
        connection.receive_data(data)
        for _ in range(1000):
            event = connection.next_event()
            if isinstance(event, h11.Request):
                event.target.decode("ascii")
            if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                break


@dataclass(frozen=True)
class Target:
    """One reader, and what it is given."""

    run: Callable[[Any], None]
    inputs: st.SearchStrategy[Any]


SLICE: Final = {"endpoints": [{"addresses": ["10.0.0.1"]}], "metadata": {"name": "demo"}}
DURABLE: Final = {"promised": 7, "config": {"key": [3, 1], "old": {"voters": ["a/1"], "write": 1}}}
HISTORY: Final = b"1\t0/502EA28\tno recovery target specified\n"
PUT: Final = b"PUT /v1/a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"

TARGETS: Final = {
    "record": Target(record, written(RECORD)),
    "kubernetes": Target(kubernetes, JSON | near(SLICE)),
    "peer": Target(peer, written(json.loads(LINE))),
    "history": Target(history, st.binary(max_size=100) | torn(HISTORY)),
    "files": Target(files, written(DURABLE)),
    "settings": Target(settings, written(SETTINGS)),
    "status": Target(status, written(STATUS) | written({"error": "no"})),
    "packet": Target(packet, st.binary(max_size=200) | torn(STARTUP) | torn(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")),
    "request": Target(request, st.binary(max_size=200) | torn(PUT)),
}

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.agent.peers.wire import Envelope, WireError, decode, encode
from aurora_operator.consensus.messages import (
    Heartbeat,
    HeartbeatAck,
    Message,
    Prepare,
    PreVote,
    PreVoteReply,
    Promise,
    Rank,
    Resigned,
)
from aurora_operator.consensus.types import Config, ConfigKey, Position, Quorum

numbers = st.integers(0, 2**63 - 1)
copies = st.from_regex(r"[a-z][a-z0-9-]{0,20}-[1-9]/[0-9a-f]{8}", fullmatch=True)
positions = st.none() | st.builds(Position, numbers, numbers)
keys = st.builds(ConfigKey, numbers, numbers)
quorums = st.builds(Quorum, st.frozensets(copies, min_size=1, max_size=6), st.integers(1, 6))
configs = st.builds(Config, keys, quorums, st.none() | quorums)
ranks = st.builds(Rank, st.booleans(), numbers, numbers, numbers)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Heartbeat, numbers, numbers, configs, st.none() | numbers, numbers),
    st.builds(HeartbeatAck, numbers, numbers, st.booleans(), numbers, keys, positions, ranks),
    st.builds(PreVote, numbers),
    st.builds(PreVoteReply, numbers, st.booleans(), numbers, positions, configs, ranks),
    st.builds(Prepare, numbers),
    st.builds(Promise, numbers, st.booleans(), numbers, positions, configs),
    st.builds(Resigned, numbers, st.none() | copies),
)


histories = st.none() | st.tuples(numbers, st.text())


@given(st.builds(Envelope, copies, st.just("10.244.1.7"), messages, histories, histories))
def test_what_is_written_is_read(envelope: Envelope) -> None:
    line = encode(envelope)
    assert line.count(b"\n") == 1
    assert decode(line) == envelope


def test_what_a_later_release_adds_is_passed_over() -> None:
    line = encode(Envelope("demo-1/00000001", "10.0.0.1", PreVote(7)))
    assert decode(line.replace(b'{"sender"', b'{"later":[1],"sender"')) == decode(line)


@pytest.mark.parametrize(
    "line", [b"", b"{}\n", b"GET / HTTP/1.1\r\n", b'{"sender":"a","address":"b","kind":"X","body":{}}']
)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(WireError):
        decode(line)

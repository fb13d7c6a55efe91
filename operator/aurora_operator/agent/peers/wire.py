"""Consensus messages as lines of JSON, for the peer connections."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from aurora_operator.agent.errors import AgentError
from aurora_operator.consensus.messages import Message
from aurora_operator.consensus.types import CopyId

MAX_LINE = 1 << 20
"""Bytes; far above any message, far below what could hurt."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message with its sender and the address where the sender can be reached."""

    sender: CopyId
    address: str
    message: Message
    history: tuple[int, str] | None = None
    """Of a new leader: its timeline, and the text of that timeline's history file."""
    recent: tuple[int, str] | None = None
    """Where that text is long: the last line of it alone, which tells enough to who was on the timeline before."""


class WireError(AgentError):
    """A line that is no message of ours."""


_TYPES = {cls.__name__: TypeAdapter(cls) for cls in get_args(Message)}


def encode(envelope: Envelope) -> bytes:
    """One line, newline included."""
    kind = type(envelope.message).__name__
    body = _TYPES[kind].dump_json(envelope.message).decode()
    history = f',"history":{json.dumps(envelope.history)}' if envelope.history is not None else ""
    if envelope.recent is not None:
        history += f',"recent":{json.dumps(envelope.recent)}'
    who = f'"sender":"{envelope.sender}","address":"{envelope.address}"'
    return f'{{{who},"kind":"{kind}","body":{body}{history}}}\n'.encode()


@dataclass(frozen=True, slots=True)
class _Raw:
    sender: CopyId
    address: str
    kind: str
    body: dict[str, Any]
    history: tuple[int, str] | None = None
    recent: tuple[int, str] | None = None


_RAW = TypeAdapter(_Raw)


def decode(line: bytes) -> Envelope:
    """Raises WireError for anything that `encode` did not write."""
    try:
        raw = _RAW.validate_json(line)
        message = _TYPES[raw.kind].validate_python(raw.body)
    except (ValidationError, KeyError) as error:
        raise WireError(f"not a message: {error}") from error
    return Envelope(raw.sender, raw.address, message, raw.history, raw.recent)

"""What a log copy says of errors: one whose volume is ill is replaced at once, so nothing else may pass for that."""

from __future__ import annotations

import errno
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import pytest

from aurora_operator.agent.log_copy.receiving import Receiving
from aurora_operator.net.http_client import ClientError
from aurora_operator.postgres.errors import DataError, ServerError, ToolError, Unavailable


@pytest.mark.parametrize(
    ("error", "ailment"),
    [
        (OSError(errno.EIO, "Input/output error"), "disk"),
        (OSError(errno.EROFS, "Read-only file system"), "disk"),
        (OSError(errno.ENOSPC, "No space left on device"), "full"),
        (ToolError("pg_waldump", 1, "could not read file: Input/output error"), "disk"),
        (DataError("there is WAL of timeline 34, but no history of it"), "corruption"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/etc/aurora/tls/agent.crt"), None),
        (ssl.SSLError(1, "certificate verify failed"), None),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), None),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), None),
        (TimeoutError(), None),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), None),
        (Unavailable("it says: Input/output error"), None),
        (ServerError("pg_receivewal cannot be started"), None),
        (ClientError("503: No space left on device"), None),
    ],
    ids=repr,
)
def test_only_its_own_volume_makes_a_log_copy_ill(error: Exception, ailment: str | None) -> None:
    said: list[tuple[str, str]] = []
    copy: Any = SimpleNamespace(ailment=None, say=lambda phase, message="": said.append((phase, message)))
    receiving = object.__new__(Receiving)
    receiving._copy = copy
    receiving.fails(error)
    assert copy.ailment == ailment
    assert said[0][0] == ("Following" if ailment is None else "Failed") and str(error) in said[0][1]

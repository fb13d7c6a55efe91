"""The API server over HTTP, for tests that ask it hundreds of things: a kubectl for each takes most of their time."""

from __future__ import annotations

import atexit
import subprocess
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
from tests.kind.context import KUBE_CONTEXT

from aurora_operator.api.base import names

CLUSTERS = f"/apis/{names.API_VERSION}/namespaces/{{}}/{names.PLURAL}"
"""The path of a namespace's AuroraClusters."""


class Refused(Exception):
    """The API server's answer is an error; the message is its own."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@cache
def _client() -> httpx.Client:
    """Through a `kubectl proxy` that lives as long as this process."""
    words = ["kubectl", "--context", KUBE_CONTEXT, "proxy", "--port=0"]
    proxy = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    atexit.register(proxy.wait)
    atexit.register(proxy.terminate)
    assert proxy.stdout is not None
    said = proxy.stdout.readline()
    assert "Starting to serve on " in said, said
    return httpx.Client(base_url=f"http://{said.split()[-1]}", timeout=60)


def request(method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> dict[str, Any]:
    """The answer to one request. Raises Refused."""
    answer = _client().request(method, path, json=body, params=query)
    content: dict[str, Any] = answer.json()
    if answer.is_error:
        raise Refused(answer.status_code, str(content.get("message")))
    return content

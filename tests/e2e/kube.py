"""Kubernetes objects as plain JSON, by kubectl, and waiting for what they should become."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tests.kind import context
from tests.kind.context import kubectl
from tests.kind.shell import CommandFailed

Object = dict[str, Any]
T = TypeVar("T")


PATIENCE = float(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
"""So many processes share the machine's cores."""


class NotSo(AssertionError):
    """What was waited for did not come."""


def get(kind: str, name: str, namespace: str) -> Object | None:
    """An object, or None when it does not exist."""
    text = kubectl("--namespace", namespace, "get", kind, name, "--ignore-not-found", "--output", "json", timeout=60)
    return json.loads(text) if text.strip() else None


def need(kind: str, name: str, namespace: str) -> Object:
    """An object that must exist."""
    found = get(kind, name, namespace)
    assert found is not None, f"there is no {kind} {name} in namespace {namespace}"
    return found


def items(kind: str, namespace: str, selector: str = "") -> list[Object]:
    """The objects of a kind, by a label selector."""
    words = ["--namespace", namespace, "get", kind, "--output", "json"]
    found: list[Object] = json.loads(kubectl(*words, *(["--selector", selector] if selector else []), timeout=60))[
        "items"
    ]
    return found


def apply(manifest: Mapping[str, Any]) -> None:
    """Server-side apply. Raises CommandFailed with the API server's words when it is refused."""
    context.apply(json.dumps(manifest))


def patch(kind: str, name: str, namespace: str, change: Mapping[str, Any]) -> None:
    """A merge patch: None removes a field."""
    words = ["patch", kind, name, "--type", "merge", "--patch", json.dumps(change)]
    kubectl("--namespace", namespace, *words, timeout=60)


def delete(kind: str, name: str, namespace: str, *options: str, wait: bool = True) -> None:
    """Delete an object; it may be gone already."""
    words = ["delete", kind, name, "--ignore-not-found", f"--wait={'true' if wait else 'false'}", *options]
    kubectl("--namespace", namespace, *words, timeout=300)


def make_namespace(name: str) -> None:
    """A namespace that lets in nothing but restricted pods; one that is being deleted is waited for."""
    until(
        f"namespace {name} of an earlier run is gone",
        lambda: (get("namespace", name, "default") or {"status": {}})["status"].get("phase") != "Terminating",
        timeout=180,
    )
    enforce = {"pod-security.kubernetes.io/enforce": "restricted", "aurorapg.io/test": "e2e"}
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": enforce}})


def delete_namespace(name: str, *, wait: bool = False) -> None:
    """Delete a namespace and all in it."""
    delete("namespace", name, "default", wait=wait)


def execute(
    namespace: str, pod: str, container: str, *command: str, stdin: str | None = None, timeout: float = 60
) -> str:
    """Run a program in a container and return what it printed. Raises CommandFailed."""
    words = ["--namespace", namespace, "exec", *(["--stdin"] if stdin is not None else []), pod]
    return kubectl(*words, "--container", container, "--", *command, stdin=stdin, timeout=timeout)


def until(what: str, look: Callable[[], T | None], *, timeout: float, every: float = 0.5) -> T:
    """Look until the answer is true, and return it; raise NotSo after `timeout` seconds, or more beside other tests.

    A look that fails (an assertion, a kubectl that is refused or gets no answer) counts as not yet.
    """
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        try:
            seen: Any = look()
            if seen:
                return seen  # type: ignore[no-any-return]
        except (AssertionError, CommandFailed, subprocess.TimeoutExpired) as error:
            seen = error
        if time.monotonic() > deadline:
            raise NotSo(f"{what}: not so after {timeout * PATIENCE:.0f} s; last seen: {seen!r}")
        time.sleep(every)


def condition(object: Object, type: str) -> Object | None:
    """A condition of an object's status, or None."""
    found: list[Object] = object.get("status", {}).get("conditions", [])
    return next((c for c in found if c["type"] == type), None)

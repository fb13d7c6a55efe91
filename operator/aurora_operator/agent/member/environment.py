"""What the pod's template tells the agent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aurora_operator.api.base import names


@dataclass(frozen=True, slots=True)
class Environment:
    """Who and where this copy is, and what it may use."""

    cluster: str
    namespace: str
    instance: str
    pod_name: str
    pod_ip: str
    pod_uid: str
    zone: str | None
    cpu_millis: int
    memory_bytes: int
    kind: Literal["instance", "log"] = "instance"
    app: Path = Path(names.APP_MOUNT)
    settings: Path = Path(names.SETTINGS_MOUNT)
    service_account: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def from_environ(environ: Mapping[str, str] = os.environ) -> Environment:
    """Read the container's environment. Raises KeyError naming a variable that is missing, ValueError."""
    return Environment(
        cluster=environ["AURORA_CLUSTER"],
        namespace=environ["AURORA_NAMESPACE"],
        instance=environ["AURORA_INSTANCE"],
        pod_name=environ["POD_NAME"],
        pod_ip=environ["POD_IP"],
        pod_uid=environ.get("POD_UID", ""),
        zone=environ.get("AURORA_ZONE") or None,
        cpu_millis=int(environ.get("AURORA_CPU_MILLIS") or 1000),
        memory_bytes=int(environ.get("AURORA_MEMORY_BYTES") or (1 << 30)),
        kind=_kind(environ.get("AURORA_KIND") or "instance"),
    )


def _kind(text: str) -> Literal["instance", "log"]:
    if text == "log":
        return "log"
    if text == "instance":
        return "instance"
    raise ValueError(f"AURORA_KIND is instance or log, not {text!r}")

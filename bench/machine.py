"""What a figure was measured on."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from tests.kind.context import kubectl


def describe() -> dict[str, Any]:
    """Processor, memory, kernel, and the Kubernetes that runs on them."""
    return {
        "cpus": os.cpu_count(),
        "processor": _line("/proc/cpuinfo", "model name"),
        "memory": _line("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "kubernetes": json.loads(kubectl("version", "--output", "json"))["serverVersion"]["gitVersion"],
        "load_before": round(os.getloadavg()[0], 2),
    }


def _line(file: str, key: str) -> str:
    """The value of the first line `key: value`, or an empty string where the system does not say."""
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")

"""Leave out of the image what the operator never imports: the Kubernetes client's generated classes (70 of its 75 MB).

It imports what `aurora_operator.kube.client` imports, and removes the generated modules that were not among it; the
client loads them one by one when asked for, and we talk plain JSON. It then imports all again to see that it works.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

USED = """
import asyncio, sys
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
async def use():
    async with ApiClient(Configuration()):
        pass
asyncio.run(use())
print(*(module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)), sep="\\n")
"""
GENERATED = ("client/api", "client/models", "aio/client/api", "aio/client/models")


def imported(root: Path) -> set[Path]:
    """Files of all modules that are imported."""
    environment = {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", USED], check=True, stdout=subprocess.PIPE, text=True, env=environment)
    out = done.stdout
    return {Path(line) for line in out.splitlines()}


def main(root: Path) -> None:
    """Remove the generated modules below `root` that nothing imports."""
    used = imported(root)
    removed = 0
    for folder in GENERATED:
        for file in (root / "kubernetes" / folder).glob("*.py"):
            if file not in used and file.name != "__init__.py":
                removed += file.stat().st_size
                file.unlink()
    imported(root)
    print(f"left out {removed >> 20} MB of generated classes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

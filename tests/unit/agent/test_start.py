"""What an agent imports before it starts PostgreSQL, for which clients may wait."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LATER = ("psycopg", "uvicorn", "starlette", "prometheus_client", "click", "multiprocessing")
NEVER = ("kubernetes", "kopf", "aiohttp", "cryptography")
PROGRAM = """
import json, sys
import aurora_operator.agent.program, {module}
print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""


@pytest.mark.parametrize("module", ["aurora_operator.agent.agent", "aurora_operator.agent.logcopy.agent"])
def test_it_imports_only_what_it_needs(module: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)], check=True, capture_output=True, text=True, timeout=60
    )
    assert not set(json.loads(run.stdout)) & {*LATER, *NEVER}

"""What an agent imports before it starts PostgreSQL, for which clients may wait."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LATER = ("psycopg", "prometheus_client", "multiprocessing")
NEVER = ("kubernetes", "kopf", "aiohttp", "httpx", "anyio", "cryptography")
PROGRAM = """
import json, sys
import aurora_operator.agent.program, {module}
print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""


def imported_with(module: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)], check=True, capture_output=True, text=True, timeout=60
    )
    return set(json.loads(run.stdout))


@pytest.mark.parametrize("module", ["aurora_operator.agent.instance", "aurora_operator.agent.log_copy.agent"])
def test_it_imports_only_what_it_needs(module: str) -> None:
    assert not imported_with(module) & {*LATER, *NEVER}


def test_its_http_servers_bring_no_framework() -> None:
    imported = imported_with("aurora_operator.agent.server.http")
    assert "h11" in imported
    assert not imported & {"uvicorn", "starlette", "click", "multiprocessing", *NEVER}

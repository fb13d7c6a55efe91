"""Programs in the writer's container, run by `kubectl exec`: where the database and the destination's Secrets are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from aurora_operator.api.agent.exports import ExportEntry
from aurora_operator.api.base import names
from aurora_operator.api.base.database import conninfo
from aurora_operator.cli.options import Target, fail

_SIZE = "SELECT pg_database_size(current_database())"


def command(where: Target, cluster: Any, instance: str | None, *options: str) -> list[str]:
    """The beginning of a kubectl command line that runs something in an instance, by default the writer."""
    chosen = instance or (cluster.get("status") or {}).get("writer")
    if not chosen:
        fail(f"{cluster['metadata']['name']} has no writer at the moment")
    pod = names.pod_name(chosen)
    return [*where.kubectl(), "exec", "--stdin", *options, pod, "--container", names.CONTAINER, "--"]


def psql(database: str) -> list[str]:
    """psql there, as PostgreSQL's superuser."""
    return ["psql", "--host", names.RUN_DIR, "--username", "postgres", "--dbname", conninfo(database)]


async def database_size(where: Target, cluster: Any, database: str) -> int:
    """In bytes."""
    words = [*psql(database), "--no-psqlrc", "--no-align", "--tuples-only", "--command", _SIZE]
    return int(await output([*command(where, cluster, None), *words]))


async def exports(where: Target, cluster: Any, verb: str, *name: str) -> list[ExportEntry]:
    """What `agent.exports` says."""
    words = ["python3", "-m", "aurora_operator.agent.exports", verb, *name]
    said = await output([*command(where, cluster, None), *words])
    try:
        return [ExportEntry.model_validate_json(line) for line in said.splitlines()]
    except ValidationError as error:
        fail(f"the answer of the writer's pod is not understood: {error}")


async def output(words: Sequence[str]) -> str:
    """What a program writes; its failure ends ours, with the last it said."""
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
    except OSError as error:
        fail(f"cannot start kubectl: {error}")
    said, complaint = await process.communicate()
    if process.returncode != 0:
        lines = [line for line in complaint.decode(errors="replace").splitlines() if line.strip()]
        told = [line for line in lines if not line.startswith("command terminated with exit code")]
        fail((told or lines or [f"{words[0]} ended with {process.returncode}"])[-1])
    return said.decode()

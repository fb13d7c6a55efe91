"""pgBackRest on a repository whose Secrets are mounted: in a copy's pod, and in a Job's."""

from __future__ import annotations

import os
from pathlib import Path

from aurora_operator.api.spec.repository import Repository
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.pgbackrest.commands import PgBackRest
from aurora_operator.postgres.pgbackrest.repository import Access
from aurora_operator.postgres.tools import Tools

JOB_ROOT = Path("/tmp/aurora")  # noqa: S108  a volume of the pod's own, in memory


def repository_of(
    tools: Tools, layout: Layout, repository: Repository, mount: str, *, cpu_millis: int, retention_days: int = 35
) -> PgBackRest:
    """pgBackRest on a repository whose Secrets are mounted at `mount`."""
    access = Access(
        repository=repository,
        mount=Path(mount),
        layout=layout,
        retention_days=retention_days,
        workers=max(1, min(cpu_millis // 1000, 8)),
        web_identity="AWS_WEB_IDENTITY_TOKEN_FILE" in os.environ,
    )
    return PgBackRest(tools, access)


def repository_in_job(tools: Tools, variable: str, mount: str) -> PgBackRest:
    """The same in a Job's pod, to which the repository comes as JSON in the environment. Raises ValueError."""
    repository = Repository.model_validate_json(os.environ[variable])
    layout = Layout(data=JOB_ROOT / "data", run=JOB_ROOT / "run", tls=JOB_ROOT / "tls")
    return repository_of(tools, layout, repository, mount, cpu_millis=1000)

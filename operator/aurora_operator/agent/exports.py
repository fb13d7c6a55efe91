"""`python -m aurora_operator.agent.exports list [NAME]`, `… remove NAME`: exports in the cluster's own destination.

It runs in an instance's container, where the destination's Secrets are, and answers in JSON lines.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from pydantic import ValidationError

from aurora_operator.agent.backup.repository import repository_of
from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base import names
from aurora_operator.postgres.errors import DataError, PostgresError
from aurora_operator.postgres.export import exports
from aurora_operator.postgres.files import remove_tree
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.tools import Tools


def main(arguments: list[str] | None = None) -> int:
    """Do it; 1 and a sentence when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m aurora_operator.agent.exports")
    parser.add_argument("verb", choices=("list", "remove"))
    parser.add_argument("name", nargs="?")
    options = parser.parse_args(arguments)
    # In memory, and beside what the agent itself uses.
    run = Path(tempfile.mkdtemp(prefix="exports-", dir=names.RUN_DIR))
    try:
        asyncio.run(_run(options.verb, options.name, run))
    except (PostgresError, OSError, ValidationError) as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    finally:
        remove_tree(run)
    return 0


async def _run(verb: str, name: str | None, run: Path) -> None:
    settings = Settings.model_validate_json((Path(names.SETTINGS_MOUNT) / "settings.json").read_text())
    if settings.backup is None:
        raise DataError("spec.backup is not set")
    layout = Layout(data=run, run=run, tls=run)
    repository = repository_of(Tools(), layout, settings.backup.repository, names.BACKUP_MOUNT, cpu_millis=1000)
    await asyncio.to_thread(repository.configure)
    if verb == "remove":
        await exports.remove(repository, name or "")
        return
    for entry in await exports.entries(repository, name):
        print(entry.model_dump_json(by_alias=True, exclude_none=True), flush=True)


if __name__ == "__main__":
    sys.exit(main())

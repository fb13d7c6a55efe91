"""`python -m tests.integration.agents.process FILE`: the program of a database container, in the surroundings that the
file describes."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import sys
from pathlib import Path
from typing import Final

PR_SET_CHILD_SUBREAPER: Final = 36


def main() -> None:
    """Like `aurora_operator.agent.__main__`."""
    gc.disable()
    # Orphans come to it, as to a container's first process.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    from pydantic import TypeAdapter

    from aurora_operator.agent.member.environment import Environment
    from aurora_operator.agent.ports import Ports
    from aurora_operator.agent.program import run
    from aurora_operator.postgres.layout import Layout
    from aurora_operator.postgres.tools import Tools

    surroundings = json.loads(Path(sys.argv[1]).read_text())
    ports = Ports(
        layout=TypeAdapter(Layout).validate_python(surroundings["layout"]),
        tools=Tools(Path(surroundings["programs"]), user=surroundings["user"]),
        listen=surroundings["listen"],
        os_users=tuple(surroundings["os_users"]),
        door=Path(surroundings["door"]),
    )
    asyncio.run(run(TypeAdapter(Environment).validate_python(surroundings["environment"]), ports))


if __name__ == "__main__":
    main()

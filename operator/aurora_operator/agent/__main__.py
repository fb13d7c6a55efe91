"""`python -m aurora_operator.agent`: the first process of a database container."""

from __future__ import annotations

import asyncio
import gc


def main() -> None:
    """Run until SIGTERM."""
    # Clients may wait for it. Importing makes objects that stay: to look for garbage among them takes a tenth of the
    # time. `program.run` turns it on again.
    gc.disable()
    from aurora_operator.agent.member.environment import from_environ
    from aurora_operator.agent.ports import Ports
    from aurora_operator.agent.program import run

    asyncio.run(run(from_environ(), Ports()))


if __name__ == "__main__":
    main()

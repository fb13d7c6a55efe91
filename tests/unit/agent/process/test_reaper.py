from __future__ import annotations

import os
import subprocess
import sys
import textwrap


def test_orphans_are_reaped_and_own_children_are_not() -> None:
    """In a process of its own that adopts orphans, as a container's first process does."""
    code = textwrap.dedent(
        """
        import asyncio, ctypes, os, sys
        from aurora_operator.agent.process import reaper
        reaper.ADOPTED_GRACE_SECONDS = 0.2
        PR_SET_CHILD_SUBREAPER = 36
        assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0

        async def main():
            reaper.Reaper().install(asyncio.get_running_loop())
            own = await asyncio.create_subprocess_exec("sh", "-c", "sleep 0.1 & exec sleep 0.4; exit 3")
            parent = await asyncio.create_subprocess_exec("sh", "-c", "sleep 0.1 & exit 5")
            assert await parent.wait() == 5
            await own.wait()
            for _ in range(100):
                await asyncio.sleep(0.05)
                if not reaper._dead_children():
                    break
            print(own.returncode, len(reaper._dead_children()))

        asyncio.run(main())
        """
    )
    environment = {**os.environ, "PYTHONPATH": "operator"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert done.stdout.split() == ["0", "0"], done.stderr

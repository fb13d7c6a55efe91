"""Records the plans of stories anew, of all or of some modules: `python -m tests.unit.planning.record`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pytest
from tests.unit.planning import recording


def main() -> int:
    """Run the stories, and write their plans. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.unit.planning.record", description=__doc__)
    parser.add_argument("--full", type=Path, metavar="DIRECTORY", help="write every plan at full length, there")
    parser.add_argument("modules", nargs="*", default=[str(recording.HERE)], help="only the stories of these")
    arguments = parser.parse_args()
    full: Path | None = arguments.full
    if full is not None:
        os.environ["AURORA_RECORD_FULL"] = str(full.absolute())
    else:
        os.environ["AURORA_RECORD"] = "1"
    return int(pytest.main(["-q", "-p", "no:xdist", "-p", "no:cacheprovider", *arguments.modules]))


if __name__ == "__main__":
    sys.exit(main())

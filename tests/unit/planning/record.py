"""Records the plans of all stories anew: `python -m tests.unit.planning.record`; see `recording.py`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.unit.planning import recording


def main() -> int:
    """Run the stories, and write their plans. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.unit.planning.record", description=__doc__)
    parser.add_argument("--full", type=Path, metavar="DIRECTORY", help="write every plan at full length, there")
    full: Path | None = parser.parse_args().full
    if full is not None:
        os.environ["AURORA_RECORD_FULL"] = str(full.absolute())
    else:
        os.environ["AURORA_RECORD"] = "1"
        shutil.rmtree(recording.GOLDEN, ignore_errors=True)
    return int(pytest.main(["-q", "-p", "no:xdist", "-p", "no:cacheprovider", str(recording.HERE)]))


if __name__ == "__main__":
    sys.exit(main())

"""The command line: `python -m tests.kind <verb>`."""

from __future__ import annotations

import argparse
import sys

from tests.kind import status, up
from tests.kind.shell import HarnessError


def main(arguments: list[str] | None = None) -> int:
    """Do what a verb says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.kind", description="The cluster of the tests and the demo.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("up", help="make the cluster, or bring it up to date: nodes, volumes, the project's images")
    verbs.add_parser("images", help="build the project's images and load them into the cluster")
    verbs.add_parser("status", help="say what is there")
    verbs.add_parser("env", help='print shell exports: eval "$(python -m tests.kind env)"')
    cpu = verbs.add_parser("cpu", help="measure how much CPU time the nodes use")
    cpu.add_argument("--seconds", type=float, default=20)
    down = verbs.add_parser("down", help="delete the cluster; what was downloaded and built stays")
    down.add_argument("--engine", action="store_true", help="stop the Docker engine too, if we started it")
    down.add_argument("--all", action="store_true", help="delete also all that was downloaded and built")
    given = parser.parse_args(arguments)
    try:
        match given.verb:
            case "up":
                up.up()
            case "images":
                up.build_images()
            case "status":
                return status.status()
            case "env":
                return status.environment()
            case "cpu":
                return status.cpu(given.seconds)
            case "down":
                up.down(stop_engine=given.engine, everything=given.all)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what is finished stays, run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

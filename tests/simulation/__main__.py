"""Run schedules: `python -m tests.simulation --seeds 1000 --jobs 2`, or replay one: `--seed 7 --trace`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from functools import partial

from tests.simulation.schedule import PROFILES, Outcome, run

CHUNK = 25


def _chunk(seeds: range, profile: str | None) -> list[Outcome]:
    return [run(seed, profile=profile) for seed in seeds]


def outcomes(seeds: range, profile: str | None, jobs: int) -> Iterator[Outcome]:
    """Outcomes as they come, not in the order of the seeds."""
    chunks = [seeds[i : i + CHUNK] for i in range(0, len(seeds), CHUNK)]
    work = partial(_chunk, profile=profile)
    if jobs == 1:
        for chunk in chunks:
            yield from work(chunk)
        return
    with multiprocessing.Pool(jobs) as pool:
        for outcomes in pool.imap_unordered(work, chunks):
            yield from outcomes


def command(seed: int, profile: str | None = None) -> str:
    """What replays a seed."""
    chosen = "" if profile is None else f" --profile {profile}"
    return f".venv/bin/python -m tests.simulation --seed {seed}{chosen} --trace"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one schedule")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every step")
    parser.add_argument("--profile", choices=PROFILES, help="only schedules of this family")
    parser.add_argument("--seeds", type=int, default=1000, help="how many schedules to run")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failing seed")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        outcome = run(arguments.seed, profile=arguments.profile, tracing=arguments.trace)
        print(outcome)
        return 0 if outcome.problem is None else 1
    began = shown = time.monotonic()
    done = steps = commits = failed = 0
    for outcome in outcomes(
        range(arguments.first, arguments.first + arguments.seeds), arguments.profile, arguments.jobs
    ):
        done += 1
        steps += outcome.steps
        commits += outcome.commits
        now = time.monotonic()
        if outcome.problem is not None:
            failed += 1
            print(
                f"seed {outcome.seed}: {outcome.problem}\n  replay: {command(outcome.seed, arguments.profile)}",
                flush=True,
            )
            if not arguments.keep_going:
                break
        if now - shown > 5:
            shown = now
            print(f"{done} schedules, {failed} failed, {done / (now - began) * 3600:,.0f} an hour", flush=True)
    rate = done / (time.monotonic() - began) * 3600
    verdict = "FAILED" if failed else "ok"
    print(f"{verdict}: {done} schedules, {failed} failed, {steps} steps, {commits} commits, {rate:,.0f} an hour")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

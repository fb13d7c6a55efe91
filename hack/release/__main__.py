"""`python -m hack.release`: make all that a release publishes, as far as it can be made here, into dist/."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.kind import cache, tools
from tests.kind.cache import REPO
from tests.kind.project import find_uv
from tests.kind.shell import HarnessError, run, say, step

from hack.release import archive, images, plugin, sbom
from hack.release.project import CHART, Release, this_release

PARTS = ("wheel", "plugin", "chart", "images", "sbom")


def wheel(release: Release) -> None:
    """The package, for whoever wants `aurora` from pip, and its sources."""
    with step("wheel and sources"):
        run([find_uv(), "build", "--quiet", "--out-dir", release.dist], cwd=REPO)
        (release.dist / ".gitignore").unlink(missing_ok=True)


def chart(release: Release) -> None:
    """The chart, as `helm push` sends it and `helm install` takes it."""
    with step("chart"):
        tools.use("helm")
        run(["helm", "lint", "--strict", CHART])
        run(["helm", "package", CHART, "--destination", release.dist])


def bill(release: Release, tags: dict[str, str]) -> None:
    """The software bill of materials."""
    with step("software bill of materials"):
        made = sbom.make(release, tags)
        target = release.dist / f"aurora-operator_{release.version}.cdx.json"
        target.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")


def make(release: Release, parts: list[str], registry: str, *, push: bool) -> list[str]:
    """Make the parts; return a sentence for each thing that is left out."""
    left_out: list[str] = []
    tags: dict[str, str] = {}

    def attempt(part: str, making: Callable[[], object]) -> None:
        if part not in parts:
            return
        try:
            making()
        except HarnessError as error:
            left_out.append(f"{part}: {error}")

    def build_images() -> None:
        tags.update(images.build(release, registry))
        if push:
            images.push(tags)
        else:
            images.save(tags, release)

    attempt("wheel", lambda: wheel(release))
    attempt("plugin", lambda: plugin.make(release))
    attempt("chart", lambda: chart(release))
    attempt("images", build_images)
    attempt("sbom", lambda: bill(release, tags))
    if "sbom" in parts and not tags:
        left_out.append("the images' Debian packages are not in the bill of materials: there are no images to ask")
    if "images" in parts and tags:
        left_out.append("images of the other architecture: they are built on a machine that has it")
    return [*left_out, "nothing is signed: the workflow signs what it publishes, by the forge's identity"]


def main() -> None:
    """Make dist/ anew, and say what is in it and what is not."""
    parser = argparse.ArgumentParser(prog="python -m hack.release", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all of them")
    parser.add_argument("--dist", type=Path, default=REPO / "dist", help="where to put it (default: dist/)")
    parser.add_argument("--registry", default="", help="begin the images' names with this")
    parser.add_argument("--push", action="store_true", help="push the images instead of saving them")
    given = parser.parse_args()
    unknown = [part for part in given.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]}: there are {', '.join(PARTS)}")
    cache.remove(given.dist)
    given.dist.mkdir(parents=True)
    release = this_release(given.dist)
    left_out = make(release, given.parts or list(PARTS), given.registry, push=given.push)
    archive.write_sums(given.dist)
    for path in sorted(given.dist.iterdir()):
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path.name}")
    for sentence in left_out:
        say(f"left out: {sentence}")
    # Who names a part wants it; without names, what can be made here is made.
    sys.exit(any(sentence.partition(":")[0] in given.parts for sentence in left_out))


if __name__ == "__main__":
    try:
        main()
    except HarnessError as error:
        sys.exit(f"error: {error}")

"""What the documents say of files is so: links lead somewhere, and named paths are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kind.cache import REPO

DOCUMENTS = sorted([*REPO.glob("*.md"), *REPO.glob(".github/**/*.md"), *REPO.glob("docs/**/*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(
    r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|go|svg)|(?:bench|charts|docs|examples|hack|images|operator|tests)/[\w./-]*)`"
)
MODULE = re.compile(r"-m ((?:aurora_operator|tests|bench|hack)(?:\.\w+)*)")
ROOTS = ("", "operator/aurora_operator", "tests", "tests/e2e", "tests/kind", "charts/aurora-operator")
CODE = ("operator", "tests", "bench", "images", "hack", "docs")
NOT_HERE = ("build/", "dist/", ".cache/", ".tools/", ".venv/")
"""Made by a run."""


def prose(path: Path) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The names by which a forge makes headings known."""
    headings = re.findall(r"^#+ (.*)$", prose(path), flags=re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def broken_links(path: Path) -> Iterator[str]:
    for target in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            yield target


def missing_paths(path: Path) -> Iterator[str]:
    for named in PATH.findall(prose(path)):
        if named.startswith(NOT_HERE) or any((REPO / root / named).exists() for root in ROOTS):
            continue
        if "/" in named or not any(next((REPO / top).rglob(named), None) for top in CODE):
            yield named


def missing_modules(path: Path) -> Iterator[str]:
    for named in MODULE.findall(path.read_text()):
        place = REPO.joinpath("operator" if named.startswith("aurora_operator") else "", *named.split("."))
        if not place.with_suffix(".py").exists() and not (place / "__main__.py").exists():
            yield named


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_links_lead_somewhere(path: Path) -> None:
    assert list(broken_links(path)) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_named_paths_are_there(path: Path) -> None:
    assert [*missing_paths(path), *missing_modules(path)] == []


def test_readme_names_every_page_of_docs() -> None:
    text = (REPO / "README.md").read_text()
    assert [page.name for page in sorted(REPO.glob("docs/*.md")) if f"docs/{page.name}" not in text] == []

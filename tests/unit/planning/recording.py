"""Recorded plans: every plan that a story makes, compared with the file that holds what it made before.

`plan` here is the planner that the stories call. `tests/unit/planning/conftest.py` compares, after each story, what it
recorded with the story's section in `golden/`. A step has a few readable lines, and a digest of each object and of the
whole plan: so a difference of one byte is found, and its place is named. `python -m tests.unit.planning.record` writes
the files anew; with `--full DIRECTORY` it writes every plan at full length, to compare two releases with `diff -r`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from json.encoder import encode_basestring
from operator import itemgetter
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from tests.unit.planning.safety import check_plan

from aurora_operator.planning import plan as planner
from aurora_operator.planning.model.plan_model import Observed, Plan, Supplies
from aurora_operator.planning.view.facts import Facts

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
RENEW = "If it is meant: python -m tests.unit.planning.record, then read the difference with git diff."


@dataclass
class Recorder:
    """The plans of one story, in the order in which they were made."""

    plans: list[Plan] = field(default_factory=list)


_active: list[Recorder] = []


def plan(observed: Observed, supplies: Supplies, now: datetime) -> Plan:
    """`planning.plan.plan`, recorded where a story is being recorded. What holds for every plan is checked."""
    made = planner.plan(observed, supplies, now)
    check_plan(made, Facts(observed, now))
    for recorder in _active:
        recorder.plans.append(made)
    return made


def start() -> Recorder:
    """Record from now on."""
    recorder = Recorder()
    _active.append(recorder)
    return recorder


def stop(recorder: Recorder) -> None:
    """Record no longer."""
    _active.remove(recorder)


def canonical(value: Any, pad: str = "\n") -> str:
    """The one text of a value: as `json.dumps` with sorted keys and an indent of 1 writes it, in a third of its time.
    Sequences keep their order; sets and maps have none. `pad` begins the line that the value ends on."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None or isinstance(value, (int, float)):
        return json.dumps(value)
    inner = f"{pad} "
    if isinstance(value, (dict, Mapping)):
        members = sorted(((str(key), item) for key, item in value.items()), key=itemgetter(0))
        lines = [f"{encode_basestring(key)}: {canonical(item, inner)}" for key, item in members]
        return f"{{{inner}{f',{inner}'.join(lines)}{pad}}}" if lines else "{}"
    if isinstance(value, (list, tuple)):
        lines = [canonical(item, inner) for item in value]
        return f"[{inner}{f',{inner}'.join(lines)}{pad}]" if lines else "[]"
    if isinstance(value, (set, frozenset)):
        return canonical(sorted(json.loads(canonical(item)) for item in value), pad)
    if isinstance(value, BaseModel):
        return canonical(value.model_dump(mode="json"), pad)
    parts = {"kind of call": type(value).__name__} | {f.name: getattr(value, f.name) for f in fields(value)}
    return canonical(parts, pad)


def digest(value: Any) -> str:
    """A short fingerprint of a value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:8]


def conditions_of(made: Plan) -> list[str]:
    """The conditions that a plan states, a word each."""
    return [f"{c['type']}={c['status']}/{c['reason']}" for c in made.status.get("conditions", ())]


def lines_of(made: Plan, known: Iterable[str] = ()) -> list[str]:
    """A plan in a few lines. Empty parts are left out, and conditions that are `known` already."""
    conditions = [condition for condition in conditions_of(made) if condition not in known]
    parts: dict[str, Iterable[str]] = {
        "apply": [f"{obj['kind']}/{obj['metadata']['name']}:{digest(obj)}" for obj in made.apply],
        "create": [f"{obj['kind']}/{obj['metadata']['name']}:{digest(obj)}" for obj in made.create],
        "delete": [f"{ref.kind}/{ref.name}:{digest(ref)}" for ref in made.delete],
        "calls": [f"{type(call).__name__}:{digest(call)}" for call in made.calls],
        "annotations": [f"{key}={value}" for key, value in sorted(made.annotations.items())],
        "wakes": [made.wakes] if made.wakes is not None else [],
        "finalizers": [str(list(made.finalizers))] if made.finalizers is not None else [],
        "events": [f"{event.reason}:{digest(event)}" for event in made.events],
        "why": [f"{len(made.why)}:{digest(made.why)}"] if made.why else [],
        "status": [digest(made.status), *conditions],
    }
    head = f"{digest(made)} {made.status.get('phase')} again in {made.requeue_seconds:g} s"
    return [head, *(f"  {name} {' '.join(items)}" for name, items in parts.items() if items)]


def text_of(plans: Iterable[Plan]) -> str:
    """The section of a story. What equals the line before it in the same place is not repeated."""
    written: list[str] = []
    before: dict[str, str] = {}
    known: list[str] = []
    for number, made in enumerate(plans, 1):
        head, *rest = lines_of(made, known)
        written.append(f"{number} {head}")
        written += [line for line in rest if before.get(line.split()[0]) != line]
        before = {line.split()[0]: line for line in rest}
        known = conditions_of(made)
    return "".join(f"{line}\n" for line in written)


def golden_file(module: Path) -> Path:
    """The file that holds the recorded plans of a test module's stories."""
    return GOLDEN / module.relative_to(HERE).with_suffix(".txt")


def read_golden(file: Path) -> dict[str, str]:
    """The sections of a file by the story's name."""
    if not file.exists():
        return {}
    _, *parts = f"\n{file.read_text(encoding='utf-8')}".split("\n# ")
    sections = (part.partition("\n") for part in parts)
    return {name: body if body.endswith("\n") else f"{body}\n" for name, _, body in sections}


def write_golden(file: Path, sections: Mapping[str, str]) -> None:
    """Write a file whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"# {name}\n{body}" for name, body in sorted(sections.items()))
    file.write_text(text, encoding="utf-8")


def difference(name: str, before: str, plans: list[Plan]) -> str | None:
    """What is different at the first step that is, or None where every byte is the same."""
    now = text_of(plans)
    if now == before:
        return None
    old, new = _steps(before), _steps(now)
    at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    there, here = ("".join(steps[at : at + 1]).split("\n") for steps in (old, new))
    shown = "\n".join(difflib.unified_diff(there, here, "recorded", "now", lineterm="", n=99))
    why = "\n".join(plans[at].why) if at < len(plans) else "there is no such step any more"
    return f"{name}: step {at + 1} of {len(old)} (now {len(new)}) differs.\n{shown}\nwhy now:\n{why}\n{RENEW}"


def _steps(text: str) -> list[str]:
    steps: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("  "):
            steps[-1] += line
        else:
            steps.append(line)
    return steps

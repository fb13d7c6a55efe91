"""Asking the installed PostgreSQL about parameters, without a running server and without touching live files."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from aurora_operator.api.spec.parameters import owner_reason
from aurora_operator.postgres.config.conf import setting
from aurora_operator.postgres.config.parameters import MIB, Choice, merge
from aurora_operator.postgres.errors import ToolError
from aurora_operator.postgres.tools import Tools

_TIMEOUT: Final = 20
_INTERNAL_NAMES: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?", re.ASCII)
_UNKNOWN: Final = re.compile(r'unrecognized configuration parameter "([^"]+)"')
_LEVEL: Final = re.compile(
    r"(?:LOG|FATAL|ERROR|PANIC|HINT|DETAIL):\s+(.*)|postgres: (?:could not|[a-z_]+ ).*", re.DOTALL
)
ALL: Final = "*"
"""Key of an error that PostgreSQL does not pin on one parameter."""


async def check_parameters(
    tools: Tools,
    choices: tuple[Choice, ...],
    parameters: Mapping[str, str],
    *,
    pgdata: Path | None = None,
    memory: int | None = None,
    scratch: Path | None = None,
) -> dict[str, str]:
    """A sentence for each parameter that PostgreSQL, or we, would refuse; empty when all are fine.

    First each by itself; then, with a `pgdata` (only read), all together with our `choices`, loading the preloaded
    libraries and computing the shared memory, which must fit `memory` bytes. Raises ToolError when PostgreSQL could
    not be asked.
    """
    errors = {name: sentence for name, value in parameters.items() if (sentence := _form(name, value))}
    rest = {name: value for name, value in parameters.items() if name not in errors}
    with tempfile.TemporaryDirectory(prefix="check-", dir=scratch) as name:
        directory = Path(name)
        _give_to_tools(tools, directory)
        errors |= await _singly(tools, directory, rest)
        if not errors:
            errors |= _libraries(tools, merge(choices, rest))
        if not errors and pgdata is not None:
            errors |= await _together(tools, directory, merge(choices, rest), rest, pgdata, memory)
    return errors


def _give_to_tools(tools: Tools, path: Path) -> None:
    """Let the user that the tools run as read a path of ours (in tests: we are root, they are not)."""
    if tools.user is not None:
        shutil.chown(path, tools.user, tools.user)


def _form(name: str, value: str) -> str | None:
    reason = owner_reason(name)
    if reason is not None:
        return f"{name} cannot be set: {reason}."
    if _INTERNAL_NAMES.fullmatch(name) is None:
        return f"{name!r} is not a parameter's name."
    if "\0" in value:
        return f"{name} cannot hold a NUL character."
    return None


async def _singly(tools: Tools, directory: Path, parameters: Mapping[str, str]) -> dict[str, str]:
    errors: dict[str, str] = {}
    remaining = dict(parameters)
    # PostgreSQL reports all unknown names at once, but of bad values possibly only the first: ask until it is quiet.
    while remaining:
        _write(tools, directory / "postgresql.conf", [setting(name, value) for name, value in remaining.items()])
        said = await _ask(tools, directory, "port")
        if said is None:
            return errors
        found = _blame(said, remaining)
        if not found and len(remaining) == 1:
            # Of some it says what is wrong without their name (a file of time zones that is not there).
            (name,) = remaining
            found = {name: f"{name}: {_unnamed(said)}"}
        if not found:
            for name, value in remaining.items():
                found |= await _singly(tools, directory, {name: value})
        if not found:
            raise ToolError("postgres -C", 1, said)
        errors |= found
        remaining = {name: value for name, value in remaining.items() if name not in errors}
    return errors


async def _together(
    tools: Tools,
    directory: Path,
    choices: tuple[Choice, ...],
    parameters: Mapping[str, str],
    pgdata: Path,
    memory: int | None,
) -> dict[str, str]:
    for name in ("PG_VERSION", "global/pg_control"):
        target = directory / name
        target.parent.mkdir(mode=0o700, exist_ok=True)
        _give_to_tools(tools, target.parent)
        shutil.copyfile(pgdata / name, target)
        _give_to_tools(tools, target)
    _write(tools, directory / "postgresql.conf", [setting(c.name, c.value) for c in choices if c.name != "ssl"])
    output: list[str] = []
    said = await _ask(tools, directory, "shared_memory_size", output)
    if said is not None:
        return _blame(said, parameters) or {ALL: _unnamed(said)}
    shared = int(output[0]) * MIB
    if memory is not None and shared > memory * 8 // 10:
        return {
            ALL: f"PostgreSQL would need {shared // MIB} MiB of shared memory, which leaves too little of the pod's "
            f"{memory // MIB} MiB: lower shared_buffers or max_connections, or give the instance more memory."
        }
    return {}


def _libraries(tools: Tools, choices: Iterable[Choice]) -> dict[str, str]:
    preloads = [c for c in choices if c.name.endswith("_preload_libraries")]
    known = {item for c in preloads for item in split_list(c.value)}
    folders = [tools.bin_dir.parent / "lib", tools.bin_dir.parent / "lib" / "postgresql"]
    errors = {}
    for choice in preloads:
        missing = [i for i in split_list(choice.value) if not any((f / f"{i}.so").is_file() for f in folders)]
        if missing:
            errors[choice.name] = f"{choice.name}: this image has no library {', '.join(missing)}."
    for choice in choices:
        prefix = choice.name.partition(".")[0]
        if "." in choice.name and prefix not in known and any((f / f"{prefix}.so").is_file() for f in folders):
            errors[choice.name] = f"{choice.name} needs {prefix} in shared_preload_libraries."
    return errors


def split_list(value: str) -> list[str]:
    """The items of a parameter that is a list of names. Pure."""
    return [item for item in (part.strip().strip('"') for part in value.split(",")) if item]


def _write(tools: Tools, path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    _give_to_tools(tools, path)


async def _ask(tools: Tools, directory: Path, name: str, output: list[str] | None = None) -> str | None:
    """None when `postgres -C` answers; else what it said instead."""
    try:
        text = await tools.run("postgres", "-D", directory, "-C", name, timeout=_TIMEOUT)
    except ToolError as error:
        if error.returncode is None:
            raise
        return error.output
    if output is not None:
        output.append(text.strip())
    return None


def _blame(said: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """Which of `parameters` PostgreSQL's messages are about."""
    by_lower = {name.lower(): name for name in parameters}
    errors: dict[str, str] = {}
    for line in said.splitlines():
        match = _LEVEL.search(line)
        text = (match[1] or match[0]) if match else line
        for lower, name in by_lower.items():
            if re.search(rf'(?<![\w."]){re.escape(lower)}(?![\w.])|"{re.escape(lower)}"', text, re.IGNORECASE):
                errors.setdefault(name, _sentence(name, text))
    return errors


def _unnamed(said: str) -> str:
    """The first that it complains of, without what comes with every complaint."""
    lines = (match[1] or match[0] for line in said.splitlines() if (match := _LEVEL.search(line)))
    found = next((line for line in lines if not line.startswith(("skipping ", "configuration file "))), said)
    return f"{found.strip().rstrip('.')}."


def _sentence(name: str, text: str) -> str:
    if _UNKNOWN.search(text):
        return f"{name} is not a parameter of this PostgreSQL."
    text = re.sub(r' in file ".*', "", text).strip().rstrip(".")
    return f"{text}."

"""The programs of docs/connecting.md connect, as they are, to a server as the operator makes it, and to no other."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import LiteralString

import pytest
import yaml
from tests.integration.binaries import ROOT
from tests.integration.copies import Copy
from tests.integration.drivers import made as ours
from tests.integration.drivers import place
from tests.integration.drivers.made import Made
from tests.integration.drivers.place import Place
from tests.integration.drivers.programs import PROGRAMS, Program
from tests.kind.shell import HarnessError

from aurora_operator.api.base import names
from aurora_operator.postgres.sql.session import Session

ANSWER = "app over TLSv1.3"
ENV_ALL = "AURORA_EVERY_DRIVER"
EXAMPLE = ROOT / "examples" / "application.yaml"
SLOW: tuple[LiteralString, ...] = (
    "CREATE VIEW public.pg_stat_ssl AS"
    " SELECT s.* FROM pg_catalog.pg_stat_ssl s, pg_sleep(current_setting('a.nap')::float)",
    "GRANT SELECT ON public.pg_stat_ssl TO app",
    "ALTER ROLE app SET search_path TO public, pg_catalog",
    "ALTER ROLE app SET a.nap TO '30'",
)
"""Makes the programs' statement last for half a minute, in sessions that begin from now on."""


@dataclass(frozen=True)
class Said:
    """What a program says when the connection is not to be had, or lost: a part of its first line."""

    authority: str
    """The server's certificate is of another authority."""
    name: str
    """The server has another name than that it was called by."""
    ended: str
    """The server ends its sessions, as for a switchover."""
    killed: str
    """Server and session are gone at once."""


SAID = {
    "psql": Said(
        "certificate verify failed",
        'does not match host name "other.default.svc"',
        "terminating connection due to administrator command",
        "connection to server was lost",
    ),
    "Python": Said(
        "certificate verify failed",
        'does not match host name "other.default.svc"',
        "57P01 terminating connection due to administrator command",
        "None consuming input failed",
    ),
    "Java": Said(
        "08006 SSL error: PKIX path",
        "08006 The hostname other.default.svc could not be verified",
        "57P01 FATAL: terminating connection due to administrator command",
        "08006 An I/O error occurred while sending to the backend.",
    ),
    "Node.js": Said(
        "SELF_SIGNED_CERT_IN_CHAIN",
        "ERR_TLS_CERT_ALTNAME_INVALID",
        "57P01 terminating connection due to administrator command",
        "undefined Connection terminated unexpectedly",
    ),
    "Go": Said(
        "x509: certificate signed by unknown authority",
        "not other.default.svc",
        "terminating connection due to administrator command (SQLSTATE 57P01)",
        "unexpected EOF",
    ),
}
CA_FILE = f"{names.binding_path(ours.CLUSTER)}/ca.crt"
FORMS = [
    *(("Python", key, "") for key in ("verified-multi-host-uri", "multi-host-uri")),
    *(("Go", key, "") for key in ("verified-multi-host-uri", "multi-host-uri")),
    *(("Node.js", key, "") for key in ("verified-ro-uri", "uri", "ro-uri")),
    ("Python", "uri", "&channel_binding=require"),
    ("Go", "uri", "&channel_binding=require"),
    ("Java", "jdbc-uri", "&channelBinding=require"),
]
"""Every other form of the connection that a driver takes, with the page's addition where it names one."""


def command_of(program: Program, statement: str | None = None) -> list[str]:
    """How to run it. Where there is no toolchain, that is said, and is an error where all must be run."""
    try:
        if (why := place.missing()) is not None:
            raise HarnessError(why)
        return [str(word) for word in program.make(program.source(statement))]
    except HarnessError as error:
        if os.environ.get(ENV_ALL):
            raise
        pytest.skip(f"{program.title} was NOT RUN: {error}")


def environment(secret: Mapping[str, bytes], key: str | None = None) -> dict[str, str]:
    """What the Deployment of the example gives its container; with another key for the URI, if one is given."""
    _, deployment = yaml.safe_load_all(EXAMPLE.read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found = {}
    for entry in container["env"]:
        chosen = entry.get("valueFrom", {}).get("secretKeyRef")
        found[entry["name"]] = entry["value"] if chosen is None else secret[key or chosen["key"]].decode()
    return found


def in_place(folder: Path, secret: Mapping[str, bytes], server: Copy, cluster: str = ours.CLUSTER) -> Place:
    """A pod with the Secret of a cluster mounted, whose names lead to the server."""
    return Place(folder, secret, names.binding_path(cluster), ours.hosts(server.address, cluster))


@asynccontextmanager
async def running(
    command: Sequence[str], where: Place, variables: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program, in its place, ended with the block."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *where.command(*command), stdout=pipe, stderr=pipe, env={**os.environ, **variables}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def says(process: asyncio.subprocess.Process, wanted: str) -> None:
    """Wait until it complains of this. AssertionError when it ends without."""
    assert process.stderr is not None
    said = ""
    while wanted not in said:
        more = await asyncio.wait_for(process.stderr.read(4096), 60)
        assert more, said
        said += more.decode()


async def answer(process: asyncio.subprocess.Process) -> str:
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return output.decode().strip()


@pytest.fixture(autouse=True)
def with_psql(monkeypatch: pytest.MonkeyPatch, server: Copy) -> None:
    """PostgreSQL's own programs, of the server's version."""
    monkeypatch.setenv("PATH", f"{server.tools.bin_dir}{os.pathsep}{os.environ['PATH']}")


every_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.title)


@every_program
async def test_it_connects_to_the_server_and_to_no_other(
    program: Program, server: Copy, made: Made, tmp_path: Path
) -> None:
    command, said = command_of(program), SAID[program.title]
    secret, foreign, other = made.secret(), Made.make().secret(), made.secret("other")
    async with running(command, in_place(tmp_path / "right", secret, server), environment(secret)) as process:
        assert await answer(process) == ANSWER
    async with running(command, in_place(tmp_path / "authority", foreign, server), environment(foreign)) as process:
        await says(process, said.authority)
    # The program reads where the page's cluster is mounted; there, it finds what another cluster's Secret says.
    place = in_place(tmp_path / "name", other, server, "other")
    both = replace(place, at=names.binding_path(ours.CLUSTER))
    variables = {key: text.replace("/bindings/other/", f"{both.at}/") for key, text in environment(other).items()}
    async with running(command, both, variables) as process:
        await says(process, said.name)


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.title != "psql"], ids=lambda program: program.title)
async def test_every_form_of_the_connection_works(program: Program, server: Copy, made: Made, tmp_path: Path) -> None:
    command, secret = command_of(program), made.secret()
    for number, (_, key, more) in enumerate(form for form in FORMS if form[0] == program.title):
        variables = environment(secret, key)
        variables = {name: text + more if "://" in text else text for name, text in variables.items()}
        if "verified" not in key:
            variables["NODE_EXTRA_CA_CERTS"] = CA_FILE
        async with running(command, in_place(tmp_path / str(number), secret, server), variables) as process:
            assert await answer(process) == ANSWER, (key, more)


@pytest.mark.parametrize(
    ("key", "wanted"), [("uri", "SELF_SIGNED_CERT_IN_CHAIN"), ("verified-multi-host-uri", "Invalid URL")]
)
async def test_node_postgres_refuses(key: str, wanted: str, server: Copy, made: Made, tmp_path: Path) -> None:
    (program,) = (program for program in PROGRAMS if program.title == "Node.js")
    secret = made.secret()
    variables = environment(secret, key)
    async with running(command_of(program), in_place(tmp_path, secret, server), variables) as process:
        await says(process, wanted)


@every_program
@pytest.mark.parametrize("how", ["ended", "killed"])
async def test_a_session_is_lost_and_the_next_one_is_had(
    program: Program, how: str, server: Copy, made: Made, tmp_path: Path
) -> None:
    command, secret = command_of(program), made.secret()
    async with Session(server.layout.run, dbname=ours.DATABASE, timeout=5) as administrator:
        for statement in SLOW:
            await administrator.rows(statement)
    async with running(command, in_place(tmp_path, secret, server), environment(secret)) as process:
        session = await asleep(server)
        await server.session.rows("ALTER ROLE app SET a.nap TO '0'")
        await server.session.close()
        await LOSE[how](server, session)
        await says(process, getattr(SAID[program.title], how))
        if program.title == "psql":  # it tries once
            assert await process.wait() != 0
            return
        await server.start()
        assert await answer(process) == ANSWER


async def asleep(server: Copy) -> int:
    """The process of the session in which the program's statement runs."""
    for _ in range(600):
        rows = await server.session.rows("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        if rows:
            (pid,) = rows[0]
            assert isinstance(pid, int)
            return pid
        await asyncio.sleep(0.05)
    raise AssertionError(f"no session runs the statement\n{server.said[-3000:]}")


async def end(server: Copy, _session: int) -> None:
    """As an agent does before it hands over."""
    assert await server.server.stop("fast", 10)


async def kill(server: Copy, session: int) -> None:
    """As when the container is killed."""
    postmaster = server.server.pid
    assert postmaster is not None
    for process in (postmaster, session):
        os.kill(process, signal.SIGKILL)
    await server.server.wait()


LOSE = {"ended": end, "killed": kill}

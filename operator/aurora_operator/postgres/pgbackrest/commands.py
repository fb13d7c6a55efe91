"""pgBackRest: backups, restores, and files of our own beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn

from aurora_operator.postgres.config import pins
from aurora_operator.postgres.errors import Cause, RepositoryError, ToolError
from aurora_operator.postgres.files import make_directory, write_durably
from aurora_operator.postgres.pgbackrest.cipher import decrypt
from aurora_operator.postgres.pgbackrest.info import Stanza, parse_info, parse_stanzas
from aurora_operator.postgres.pgbackrest.repository import PROGRAM, Access, Peer
from aurora_operator.postgres.tools import Tools

BackupType = Literal["full", "diff", "incr"]

SHORT_SECONDS: Final = 20.0
"""For commands that read or write little. pgBackRest itself would try a server that is away for longer."""
_LIST_SECONDS: Final = 60.0
LONG_SECONDS: Final = 7 * 24 * 3600.0

_PERCENT: Final = re.compile(r"\((?:bundle [^,]+, )?[\d.]+[KMGTP]?B, (\d+(?:\.\d+)?)%\)", re.ASCII)
_ERROR: Final = re.compile(r"(?:P\d+\s+)?ERROR: \[(\d+)\]: (.*)", re.ASCII)
_CHATTER: Final = re.compile(r"(?:P\d+\s+)?(?:INFO|DETAIL): .*", re.ASCII)
"""What is under way, with all options by name: `io-timeout` is no sign of one."""
_CAUSES: Final[tuple[tuple[str, Cause, str], ...]] = (
    (r"does not match expected checksum|[Dd]ata corruption detected|zstd error|unable to decompress", "damaged",
     "a file in the destination is damaged"),
    # Azure has sentences of its own after the number, and Google refuses a key before the first request.
    (r"failed with 40[13] \(|AccessDenied|SignatureDoesNotMatch|InvalidAccessKeyId|UserNotFound|"
     r"unable to get authentication token|invalid value for 'repo1-azure-key'", "credentials",
     "the destination refuses the credentials"),
    (r"NoSuchBucket|ContainerNotFound|The specified bucket does not exist", "bucket", "the bucket does not exist"),
    (r"unable to verify certificate|CryptoError.*certificate|unable to find hostname .* in certificate", "certificate",
     "the destination's certificate is not trusted: give its authority as caSecret"),
    (r"unable to connect|unable to get address|HostConnectError|timeout(?!=)|\[049\]", "unreachable",
     "the destination cannot be reached"),
    (r"unable to flush|cipher|FormatError|unable to decrypt|bad decrypt", "passphrase",
     "what is stored there cannot be decrypted with this passphrase"),
    (r"do not match the database|does not match|\[028\]|\[051\]", "mismatch",
     "the destination holds backups of another database under this name"),
    (r"unable to acquire lock|\[050\]", "busy", "another backup or clean-up is under way"),
)  # fmt: skip


def explain(output: str, returncode: int | None) -> RepositoryError:
    """pgBackRest's words as an error with its cause. Pure. What may be secret, it has left out itself."""
    output = _CHATTER.sub("", output)
    match = _ERROR.search(output)
    said = " ".join((match[2] if match else output).split())[:300]
    if returncode is None:
        return RepositoryError("unreachable", f"the destination does not answer in time{f': {said}' if said else ''}")
    for pattern, cause, words in _CAUSES:
        if re.search(pattern, output):
            return RepositoryError(cause, f"{words} ({said})" if said else words)
    return RepositoryError("other", said or f"pgBackRest ended with {returncode}")


def progress_of(line: str) -> float | None:
    """How much is done, 0 to 1, from a line about a file. Pure."""
    match = _PERCENT.search(line)
    return None if match is None else min(float(match[1]) / 100, 1.0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the repository."""

    name: str
    size: int
    time: int
    """When it was written, in seconds since 1970, by the destination's clock."""


@dataclass(frozen=True, slots=True)
class PgBackRest:
    """Runs pgBackRest on one repository. Every call raises RepositoryError."""

    tools: Tools
    access: Access

    def configure(self, peer: Peer | None = None) -> None:
        """Write the configuration anew, from the Secrets as they are now. Raises RepositoryError, OSError."""
        access = self.access
        for folder in (access.folder, access.locks, access.spool):
            make_directory(folder)
        if peer is not None:
            key = (access.layout.tls / "agent.key").read_bytes()
            write_durably(access.folder / "agent.key", key, sync=False)
        try:
            text = access.render(peer)
        except ValueError as error:
            raise RepositoryError("other", str(error)) from error
        write_durably(access.config, text, sync=False)

    def words(self, *command: str) -> list[str]:
        """A command line; holds no secret."""
        access = self.access
        own = [f"--config={access.config}", f"--stanza={access.repository.stanza}"]
        return [
            access.program,
            *own,
            *([f"--cmd={access.program}"] if access.program != PROGRAM else []),
            *command,
        ]

    async def create_stanza(self, *, online: bool = True) -> None:
        """Make the repository ready for this database; does nothing where it is. A reader, which has no writer's
        PostgreSQL to ask, does it by its own files: not `online`."""
        await self._run("stanza-create", *([] if online else ["--no-online"]))

    async def info(self) -> Stanza:
        """What the repository holds of this stanza; without backups where it does not exist yet."""
        found = parse_info(await self._run("info", "--output=json"), self.access.repository.stanza)
        if found.problem is not None:
            raise explain(found.problem, 99)
        return found

    async def stanzas(self) -> tuple[Stanza, ...]:
        """All that the repository's path holds."""
        return parse_stanzas(await self._run("info", "--output=json", alone=True))

    async def backup(
        self,
        kind: BackupType,
        *,
        annotations: Mapping[str, str] | None = None,
        on_progress: Callable[[float], None] | None = None,
        expire: bool = True,
        archive_check: bool = True,
    ) -> None:
        """Take a backup and remove what the retention lets go. `on_progress` gets a fraction, 0 to 1. Without
        `archive_check`, nobody sees to it that the WAL which makes it consistent is in the same repository."""
        notes = [f"--annotation={key}={value}" for key, value in (annotations or {}).items()]
        choices = [*([] if expire else ["--no-expire-auto"]), *([] if archive_check else ["--no-archive-check"])]
        command = ["backup", f"--type={kind}", *notes, *choices]
        await self._run(*command, timeout=LONG_SECONDS, on_progress=on_progress)

    async def expire(self) -> None:
        """Remove what the retention lets go."""
        await self._run("expire", timeout=3600)

    async def restore(self, pgdata: Path, label: str, *, on_progress: Callable[[float], None] | None = None) -> None:
        """Restore a backup's files into an empty directory, with nothing said about recovery."""
        command = ["restore", f"--set={label}", f"--pg1-path={pgdata}", "--type=none"]
        try:
            await self._run(*command, timeout=LONG_SECONDS, on_progress=on_progress)
        except RepositoryError as error:
            if error.cause != "passphrase":
                raise
            # Whoever knows the label has read the list of backups, so the passphrase is right.
            raise RepositoryError("damaged", f"a file in the destination is damaged: {error}") from error

    async def archive_get(self, name: str, target: Path) -> bool:
        """Fetch a WAL segment or a timeline's history from the archive; whether it is there."""
        try:
            await self._run("archive-get", "--no-archive-async", name, str(target), timeout=60)
        except RepositoryError as error:
            cause = error.__cause__
            if isinstance(cause, ToolError) and cause.returncode == 1:  # its way to say that there is none
                return False
            raise
        return True

    async def archive_push(self, path: Path) -> None:
        """Store a WAL segment or a timeline's history in the archive, at once."""
        await self._run("archive-push", "--no-archive-async", "--archive-timeout=60", str(path), timeout=120)

    async def list(self, folder: str, *, below: bool = True) -> list[Entry]:
        """The files in a folder of the repository, and below, by names relative to it; none where it is not there."""
        depth = ["--recurse"] if below else []
        text = await self._run("repo-ls", "--output=json", *depth, *([folder] if folder else []), timeout=_LIST_SECONDS)
        found = json.loads(text or "{}")
        return sorted(
            (Entry(name, int(item.get("size") or 0), int(item.get("time") or 0))
             for name, item in found.items() if item.get("type") == "file"),
            key=lambda entry: entry.name,
        )  # fmt: skip

    async def put(self, path: str, content: bytes) -> None:
        """Store a file, encrypted as everything else is, in one step: it is there whole or as before."""
        await self._run_bytes("repo-put", path, stdin=content)

    async def get(self, path: str) -> bytes:
        """A file that `put` stored."""
        content = await self._run_bytes("repo-get", "--raw", path)
        passphrase = self.access.passphrase
        return content if passphrase is None else decrypt(content, passphrase)

    async def remove(self, folder: str, *, timeout: float = SHORT_SECONDS) -> None:  # noqa: ASYNC109
        """Remove a folder of files that `put` stored; nothing to do where there is none."""
        await self._run("repo-rm", "--recurse", folder, timeout=timeout)

    async def remove_file(self, path: str) -> None:
        """Remove a file that `put` stored; nothing to do where there is none."""
        await self._run("repo-rm", path)

    async def remove_all(self) -> None:
        """Remove everything below the repository's path."""
        await self._run("repo-rm", "--recurse", timeout=3600)

    async def _run(
        self,
        *command: str,
        timeout: float = SHORT_SECONDS,  # noqa: ASYNC109
        on_progress: Callable[[float], None] | None = None,
        alone: bool = False,
    ) -> str:
        output = await self._run_bytes(*command, timeout=timeout, on_progress=on_progress, alone=alone)
        return output.decode(errors="replace")

    async def _run_bytes(
        self,
        *command: str,
        timeout: float = SHORT_SECONDS,  # noqa: ASYNC109
        stdin: bytes | None = None,
        on_progress: Callable[[float], None] | None = None,
        alone: bool = False,
    ) -> bytes:
        program, *args = self.words(*command)
        if alone or command[0].startswith("repo-"):
            args = [arg for arg in args if not arg.startswith("--stanza=")]
        errors: list[str] = []

        def watch(line: str) -> None:
            if "DETAIL:" not in line and len(errors) < 50:
                errors.append(line)
            part = progress_of(line) if on_progress is not None else None
            if part is not None and on_progress is not None:
                on_progress(part)

        if on_progress is not None:
            args.append("--log-level-stderr=detail")
        try:
            return await self.tools.run_bytes(
                program, *args, timeout=timeout, on_line=watch, stdin=stdin, env=pins.environment(superuser=True)
            )
        except ToolError as error:
            _raise(error, errors)
        except OSError as error:
            raise RepositoryError("other", f"pgBackRest cannot be run: {error}") from error


def _raise(error: ToolError, lines: list[str]) -> NoReturn:
    # What is wrong with its configuration it says where answers go: where else, it has not read yet.
    unconfigured = _ERROR.search(error.answer)
    said = "\n".join(lines) or error.output or (unconfigured[0] if unconfigured else "")
    raise explain(said, error.returncode) from error

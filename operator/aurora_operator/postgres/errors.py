"""What can go wrong with PostgreSQL, for callers that want to tell the cases apart.

```
PostgresError
├── ToolError          a PostgreSQL program ended with an error or took too long
├── ServerError        the server did not start, stop or come up
│   └── VolumeInUse    another life of this copy still uses the volume
├── QueryError         the server answered a statement with an error
├── Unavailable        no answer from the server in time, or no connection
├── DataError          what is on the volume is not what it should be
│   └── CannotRewind   only a new clone helps
├── NotThere           a log copy does not have the WAL that is asked for (wal/staging.py)
└── RepositoryError    backups cannot be reached or used
    └── NotRestorable  what was asked for is not in the backups
```
"""

from __future__ import annotations

from typing import Literal


class PostgresError(Exception):
    """The base of this package's errors; its text is a sentence for a status or a log."""


class ToolError(PostgresError):
    """A program of PostgreSQL failed. `output` is the end of what it said, `answer` what it wrote to its output."""

    def __init__(self, tool: str, returncode: int | None, output: str, answer: str = "") -> None:
        why = "took too long" if returncode is None else f"ended with {returncode}"
        said = f": {output.strip()}" if output.strip() else ""
        super().__init__(f"{tool} {why}{said}")
        self.tool = tool
        self.returncode = returncode
        self.output = output
        self.answer = answer


class ServerError(PostgresError):
    """The server did not do what it was told in time, or ended by itself."""


class VolumeInUse(ServerError):
    """Processes of another life of this copy still use the volume."""


class QueryError(PostgresError):
    """The server refused a statement. `sqlstate` is PostgreSQL's code, where there is one."""

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Unavailable(PostgresError):
    """No connection to the server, or no answer in time."""


class DataError(PostgresError):
    """Files on the volume are missing, damaged or of another cluster."""


class CannotRewind(DataError):
    """The histories have no point in common that is still on the volume: clone again."""


Cause = Literal[
    "credentials",  # missing, or refused by the destination
    "bucket",  # the bucket, container or volume is not there
    "unreachable",  # no connection, or no answer in time
    "certificate",  # the destination's certificate is not trusted
    "passphrase",  # what is there cannot be decrypted
    "mismatch",  # what is there is of another database
    "damaged",  # a file that is there is not what was stored
    "busy",  # another backup or clean-up is under way
    "other",
]


class RepositoryError(PostgresError):
    """The destination of backups, or pgBackRest, did not do what it should. Holds no secret."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class NotRestorable(RepositoryError):
    """The backups do not have what a restore asks for; the message says what they have."""

    def __init__(self, message: str) -> None:
        super().__init__("other", message)

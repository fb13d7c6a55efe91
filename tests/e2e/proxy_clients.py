"""Runs in a pod: clients of the proxy, of whom few are busy, until another writer has answered; then tells how they
fared, as JSON. `python3 -c … CONNINFO CLIENTS BUSY`; the password is in the environment."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import psycopg

INSERT = (
    "INSERT INTO kept DEFAULT VALUES RETURNING ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)"
    "::int"
)
AT_ONCE = 10
MORE = 100
"""Writes after the other writer has been seen."""
PATIENCE_SECONDS = 60.0
LINGER_SECONDS = 0.01

Connection = psycopg.AsyncConnection[tuple[int, ...]]


class Clients:
    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.sessions: list[Connection] = []
        self.errors: list[str] = []
        self.refused: list[str] = []
        """Log-ins after an error."""
        self.epochs: set[int] = set()
        self.longest = 0.0
        self.late = 0
        """Writes at the last of the writers."""
        self.deadline = time.monotonic() + PATIENCE_SECONDS

    async def connect(self) -> Connection:
        return await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True)

    def over(self) -> bool:
        return (len(self.epochs) > 1 and self.late >= MORE) or time.monotonic() > self.deadline

    async def write(self, session: Connection) -> None:
        while not self.over():
            began = time.monotonic()
            try:
                ((epoch,),) = await (await session.execute(INSERT)).fetchall()
            except psycopg.Error as error:
                self.errors.append(str(error))
                if session.closed:
                    session = await self.again()
            else:
                self.late += epoch == max({*self.epochs, epoch})
                if epoch not in self.epochs:
                    self.epochs.add(epoch)
                    self.late = 0
            self.longest = max(self.longest, time.monotonic() - began)
            await asyncio.sleep(LINGER_SECONDS)

    async def again(self) -> Connection:
        """As drivers do: whoever logged in when the writer died may be refused, too."""
        while True:
            try:
                return await self.connect()
            except psycopg.OperationalError as error:
                if self.over():
                    raise
                self.refused.append(str(error))
                await asyncio.sleep(LINGER_SECONDS)

    async def alive(self, session: Connection) -> bool:
        try:
            await session.execute("SELECT 1")
        except psycopg.Error as error:
            self.errors.append(f"idle: {error}")
            return False
        return True

    async def run(self, count: int, busy: int) -> dict[str, object]:
        for _ in range(0, count, AT_ONCE):
            self.sessions += await asyncio.gather(*(self.connect() for _ in range(AT_ONCE)))
        await asyncio.gather(*(self.write(session) for session in self.sessions[:busy]))
        idle = await asyncio.gather(*(self.alive(session) for session in self.sessions[busy:]))
        return {
            "epochs": sorted(self.epochs),
            "errors": self.errors,
            "refused": self.refused,
            "lost": idle.count(False),
            "longest": round(self.longest, 3),
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(Clients(sys.argv[1]).run(int(sys.argv[2]), int(sys.argv[3])))))

"""The probe's half in the cluster: clients that write through a Service without pause, and at the end an account.

`probe.py` runs it in a pod of the instance image; it needs the standard library and psycopg only, and is told what
to do by the environment (see `Config`). It prints one JSON document a line: `{"tick": …}` four times a second, and
after SIGTERM `{"report": …}`, for which every acknowledged row has been compared with the table.

A write whose outcome is unknown (connection lost, no answer in time) is recorded as unknown, never as acknowledged.
The probe never cancels a statement: cancelling a commit that waits for its copies would let it appear locally.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
from psycopg import pq

Row = tuple[int, int]  # client, sequence


class Broken(Exception):
    """The connection failed or did not answer in time: whether the statement took effect is unknown."""


class Refused(Exception):
    """The server said no: the statement had no effect."""


@dataclass(frozen=True)
class Config:
    """What to do, from the environment."""

    conninfo: str = os.environ.get("PROBE_CONNINFO", "")
    table: str = os.environ.get("PROBE_TABLE", "probe")
    held: int = int(os.environ.get("PROBE_HELD", "2"))  # clients that keep their connection as long as it works
    fresh: int = int(os.environ.get("PROBE_FRESH", "2"))  # clients that connect for each write
    pause: float = float(os.environ.get("PROBE_PAUSE", "0"))  # seconds between two writes of a client
    connect: float = float(os.environ.get("PROBE_CONNECT_TIMEOUT", "1"))  # seconds, handshake included
    statement: float = float(os.environ.get("PROBE_STATEMENT_TIMEOUT", "1"))  # seconds until a client gives up
    patient: float = float(os.environ.get("PROBE_PATIENT_TIMEOUT", "60"))  # the same, of the client that only reads


class Link:
    """A connection on which nothing takes longer than it is given."""

    def __init__(self, conninfo: str, seconds: float, notice: Callable[[str], None]) -> None:
        deadline = time.monotonic() + seconds
        self._pg = pq.PGconn.connect_start(conninfo.encode())
        self._pg.notice_handler = lambda result: notice(result.get_error_message())
        try:
            while self._pg.status != pq.ConnStatus.BAD:
                match self._pg.connect_poll():
                    case pq.PollingStatus.OK:
                        self._pg.nonblocking = 1
                        return
                    case pq.PollingStatus.READING:
                        self._wait(select.POLLIN, deadline)
                    case pq.PollingStatus.WRITING:
                        self._wait(select.POLLOUT, deadline)
                    case _:
                        break
            raise Broken(self._pg.get_error_message())
        except BaseException:
            self._pg.finish()
            raise

    def query(self, sql: str, *values: object, seconds: float) -> list[tuple[str, ...]]:
        """Run one statement. Raises Refused or Broken; after either, close the link."""
        deadline = time.monotonic() + seconds
        results = []
        try:
            self._pg.send_query_params(sql.encode(), [str(value).encode() for value in values])
            while self._pg.flush():
                if self._wait(select.POLLIN | select.POLLOUT, deadline) & select.POLLIN:
                    self._pg.consume_input()
            while True:
                while self._pg.is_busy():
                    self._wait(select.POLLIN, deadline)
                    self._pg.consume_input()
                result = self._pg.get_result()
                if result is None:
                    break
                results.append(result)
        except psycopg.Error as error:
            raise Broken(str(error)) from error
        for result in results:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                severity = result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED)
                # FATAL may come after the commit's own flush, when a waiting session is ended.
                kind = Refused if severity == b"ERROR" and self._pg.status == pq.ConnStatus.OK else Broken
                raise kind(result.get_error_message())
        if not results or self._pg.status != pq.ConnStatus.OK:
            raise Broken("the connection ended before an answer")
        last = results[-1]
        return [
            tuple((last.get_value(row, column) or b"").decode() for column in range(last.nfields))
            for row in range(last.ntuples)
        ]

    def close(self) -> None:
        self._pg.finish()

    def _wait(self, events: int, deadline: float) -> int:
        poll = select.poll()
        poll.register(self._pg.socket, events)
        ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            raise Broken("no answer in time")
        return ready[0][1]


@dataclass
class Account:
    """What all clients have seen. Lists only grow; appending is atomic."""

    acknowledged: list[tuple[float, Row]] = field(default_factory=list)
    unknown: list[tuple[float, Row]] = field(default_factory=list)
    refused: list[tuple[float, Row]] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    stale: list[dict[str, object]] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, text: object) -> None:
        """Count an error or a notice by its last line."""
        lines = str(text).strip().splitlines() or ["?"]
        with self.lock:
            self.errors[lines[-1][:200]] += 1


class Client(threading.Thread):
    """One client; `writes` says whether it writes, `fresh` whether it connects for each statement."""

    def __init__(
        self, number: int, config: Config, account: Account, stop: threading.Event, *, fresh: bool, writes: bool = True
    ) -> None:
        super().__init__(daemon=True)
        self._number = number
        self._config = config
        self._account = account
        self._stop_wanted = stop
        self._fresh = fresh
        self._writes = writes
        self._link: Link | None = None
        self._sequence = 0
        self._own: tuple[float, Row] | None = None

    def run(self) -> None:
        while not self._stop_wanted.is_set():
            try:
                if self._link is None:
                    self._link = Link(self._config.conninfo, self._config.connect, self._account.note)
                if self._writes:
                    self._write(self._link)
                if not self._writes or self._fresh or self._sequence % 10 == 0:
                    self._read(self._link)
            except (Broken, Refused) as error:
                self._account.note(error)
                self._drop()
                self._stop_wanted.wait(0.02)
            if self._fresh:
                self._drop()
            self._stop_wanted.wait(self._config.pause if self._writes else 0.02)
        self._drop()

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _write(self, link: Link) -> None:
        self._sequence += 1
        row = (self._number, self._sequence)
        sql = f"INSERT INTO {self._config.table} (client, sequence) VALUES ($1::int, $2::int)"
        try:
            link.query(sql, *row, seconds=self._config.statement)
        except Broken:
            self._account.unknown.append((time.time(), row))
            raise
        except Refused:
            self._account.refused.append((time.time(), row))
            raise
        self._own = (time.time(), row)
        self._account.acknowledged.append(self._own)

    def _read(self, link: Link) -> None:
        """Whether my latest acknowledged row, and the latest of all clients, are there."""
        latest = self._account.acknowledged[-1] if self._account.acknowledged else None
        expected = {row: at for at, row in filter(None, (self._own, latest))}
        if not expected:
            return
        begun = time.time()
        wanted = ", ".join(f"({client}, {sequence})" for client, sequence in expected)
        sql = f"SELECT client, sequence FROM {self._config.table} WHERE (client, sequence) IN ({wanted})"
        seconds = self._config.statement if self._writes else self._config.patient
        found = {(int(client), int(sequence)) for client, sequence in link.query(sql, seconds=seconds)}
        self._account.reads.append(begun)
        for row, at in expected.items():
            if row not in found:
                self._account.stale.append({"row": row, "begun": begun, "age": begun - at, "client": self._number})


def gaps(times: list[float], end: float, least: float) -> list[tuple[float, float]]:
    """Intervals of at least `least` seconds between two acknowledged writes, or the last one and the end."""
    ordered = [*sorted(times), end]
    return [(a, b) for a, b in itertools.pairwise(ordered) if b - a >= least]


def persistently(config: Config, account: Account, sql: str, seconds: float) -> list[tuple[str, ...]]:
    """Run a statement, on new connections, until it succeeds or the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            link = Link(config.conninfo, 5, account.note)
            try:
                return link.query(sql, seconds=60)
            finally:
                link.close()
        except (Broken, Refused):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def compare(config: Config, account: Account) -> dict[str, object]:
    """Every acknowledged row against the table."""
    rows = persistently(config, account, f"SELECT client, sequence FROM {config.table}", 120)
    present = {(int(client), int(sequence)) for client, sequence in rows}
    acknowledged = [row for _, row in account.acknowledged]
    refused = {row for _, row in account.refused}
    lost = sorted(set(acknowledged) - present)
    return {
        "lost": len(lost),
        "lost_rows": [(at, row) for at, row in account.acknowledged if row not in present][:20],
        "doubly": len(acknowledged) - len(set(acknowledged)),
        "phantoms": sorted(refused & present)[:20],  # said to have failed, and there all the same
        "unknown_present": len({row for _, row in account.unknown} & present),
        "present": len(present),
    }


def main() -> int:
    """Write until SIGTERM, then account for it."""
    config, account, stop = Config(), Account(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    say({"starting": {"table": config.table, "held": config.held, "fresh": config.fresh}})
    columns = "client int, sequence int, at timestamptz NOT NULL DEFAULT clock_timestamp()"
    persistently(config, account, f"DROP TABLE IF EXISTS {config.table}", 60)
    persistently(config, account, f"CREATE TABLE {config.table} ({columns}, PRIMARY KEY (client, sequence))", 60)
    clients = [
        Client(number, config, account, stop, fresh=number > config.held)
        for number in range(1, config.held + config.fresh + 1)
    ]
    clients.append(Client(0, config, account, stop, fresh=False, writes=False))
    for client in clients:
        client.start()
    seen, last = 0, time.time()
    while not stop.wait(0.25):
        new = [at for at, _ in account.acknowledged[seen:]]
        seen += len(new)
        pause = max((b - a for a, b in itertools.pairwise([last, *sorted(new)])), default=0.0)
        last = max([last, *new])
        say({"tick": {"at": time.time(), "acknowledged": seen, "last": last if seen else 0.0, "pause": pause}})
    stopped = time.time()
    for client in clients:
        client.join(config.statement + config.connect + 5)
    report: dict[str, object] = {
        "acknowledged": len(account.acknowledged),
        "unknown": len(account.unknown),
        "refused": len(account.refused),
        "first": min((at for at, _ in account.acknowledged), default=0.0),
        "stopped": stopped,
        "gaps": gaps([at for at, _ in account.acknowledged], stopped, 0.02),
        "reads": len(account.reads),
        "stale": account.stale[:100],
        "errors": dict(account.errors.most_common(20)),
    }
    try:
        report |= compare(config, account)
    except (Broken, Refused) as error:
        say({"failed": f"the rows could not be compared: {error}"})
        return 1
    say({"report": report})
    return 0


def say(document: dict[str, object]) -> None:
    """One line of JSON."""
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    sys.exit(main())

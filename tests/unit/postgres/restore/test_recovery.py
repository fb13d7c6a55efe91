from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aurora_operator.api.base.lsn import SEGMENT_BYTES, segment_name
from aurora_operator.api.spec.repository import Destination, Repository, VolumeDestination
from aurora_operator.api.spec.restore import RestoreTarget
from aurora_operator.postgres.errors import NotRestorable, RepositoryError
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.pgbackrest.commands import PgBackRest, explain
from aurora_operator.postgres.pgbackrest.info import BackupInfo, Stanza
from aurora_operator.postgres.pgbackrest.repository import Access
from aurora_operator.postgres.restore.recovery import (
    Contents,
    Places,
    choose,
    recovery_settings,
    resolve_stanza,
    restore_script,
    without_target,
)
from aurora_operator.postgres.tools import Tools
from aurora_operator.postgres.wal.archiving import hand_over, timeline_at
from aurora_operator.postgres.wal.tail import Piece
from aurora_operator.postgres.wal.timeline import History, Switch

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
S = SEGMENT_BYTES
HISTORY = History(67, (Switch(1, 2 * S), Switch(34, 10 * S + 500)))


def backup(label: str, hour: int, lsn: int, timeline: int = 34, *, error: bool = False) -> BackupInfo:
    stop = NOON.replace(hour=hour)
    return BackupInfo(
        label, "full", stop - timedelta(minutes=1), stop, lsn - 100, lsn, timeline, 1, 1, "17-1", error=error
    )


CONTENTS = Contents(
    Stanza(
        "demo-1",
        exists=True,
        backups=(
            backup("first", 8, 5 * S),
            backup("of-a-deposed-writer", 9, 11 * S),
            backup("damaged", 10, 12 * S, 67, error=True),
            backup("second", 11, 13 * S, 67),
        ),
    ),
    {34: HISTORY.ancestor(34), 67: HISTORY},
    Piece(67, 20 * S, 20 * S + 100, NOON),
)


@pytest.mark.parametrize(
    ("target", "label"),
    [
        (RestoreTarget(), "second"),
        (RestoreTarget(time="2026-11-25T12:00:00Z"), "second"),
        (RestoreTarget(time="2026-11-25T11:00:00Z"), "second"),
        (RestoreTarget(time="2026-11-25T11:00:00Z", inclusive=False), "first"),
        (RestoreTarget(time="2026-11-25T11:59:59+01:00"), "first"),
        (RestoreTarget(lsn="0/C000000"), "first"),
        (RestoreTarget(name="here"), "first"),
        (RestoreTarget(xid="77"), "first"),
    ],
)
def test_begins_with_the_newest_backup_before_the_target_on_the_leaders_history(
    target: RestoreTarget, label: str
) -> None:
    route = choose(CONTENTS, target)
    assert (route.backup.label, route.history) == (label, HISTORY)
    text = recovery_settings(route, "sh restore.sh")
    assert "recovery_target_timeline = '67'" in text and "archive_mode = 'off'" in text
    assert "recovery_target_time = " not in recovery_settings(without_target(route), "sh restore.sh")


@pytest.mark.parametrize(
    "target",
    [
        RestoreTarget(time="2026-11-25T12:00:01Z"),
        RestoreTarget(time="2026-11-25T07:59:59Z"),
        RestoreTarget(lsn="0/1000000"),
        RestoreTarget(lsn="FF/0"),
    ],
)
def test_refuses_what_is_not_there_with_the_range_that_is(target: RestoreTarget) -> None:
    with pytest.raises(NotRestorable, match=r"possible is 2026-11-25T08:00:00Z .* to 2026-11-25T12:00:00Z"):
        choose(CONTENTS, target)


def test_refuses_where_there_is_no_backup() -> None:
    with pytest.raises(NotRestorable, match="no backup"):
        choose(Contents(Stanza("demo-1", exists=True)), RestoreTarget())
    with pytest.raises(NotRestorable, match="first"):
        choose(CONTENTS, RestoreTarget(), label="nonesuch")


def test_a_stanza_is_found_by_the_clusters_name_where_there_is_one() -> None:
    def there(*names: str) -> list[Stanza]:
        return [Stanza(name, exists=True) for name in names]

    assert resolve_stanza("demo", there("demo-0a1b2c3d", "demo-two-0a1b2c3d")) == "demo-0a1b2c3d"
    assert resolve_stanza("demo-0a1b2c3d", there("demo-0a1b2c3d", "demo-ffffffff")) == "demo-0a1b2c3d"
    with pytest.raises(NotRestorable, match=r"several of demo: .* demo-0a1b2c3d .* demo-ffffffff"):
        resolve_stanza("demo", there("demo-0a1b2c3d", "demo-ffffffff"))
    with pytest.raises(NotRestorable, match=r"has no demo: .* none"):
        resolve_stanza("demo", [])


def test_the_script_takes_nothing_from_beyond_the_end_of_a_timeline(tmp_path: Path) -> None:
    """Run by a real shell, with an archive that has everything."""
    places = Places(tmp_path)
    places.tail.mkdir()
    places.served.mkdir()
    archive = tmp_path / "archive.sh"
    archive.write_text('#!/bin/sh\ncase "$2" in *missing*|*00000030) exit 1;; esac\necho "$2" > "$3"\n')
    archive.chmod(0o755)
    places.script.write_text(restore_script(HISTORY, places, [str(archive)]))
    tailed = segment_name(67, 0x30 * S)
    (places.tail / tailed).write_text("tail")

    def get(name: str) -> bool:
        return subprocess.run(["sh", places.script, name, tmp_path / "out"], check=False).returncode == 0

    assert get(segment_name(1, S)) and not get(segment_name(1, 2 * S))
    assert get(segment_name(34, 9 * S)) and not get(segment_name(34, 10 * S)) and not get(segment_name(34, 11 * S))
    assert get(segment_name(67, 10 * S)) and get("00000043.history")
    assert not get("00000022.history"), "no history before the target's is needed, and each would be asked for"
    assert get("00000044.history"), "one after it is a number that is taken"
    assert get(tailed) and (tmp_path / "out").read_text() == "tail"
    assert (places.served / tailed).exists() and not (places.served / segment_name(34, 10 * S)).exists()
    assert not get("missing")
    places.frozen.touch()
    assert not get(segment_name(67, 10 * S))


def test_the_script_takes_no_wal_of_timelines_that_ended_before_the_backup(tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.tail.mkdir()
    places.served.mkdir()
    places.script.write_text(restore_script(HISTORY, places, ["true"], 5 * S))

    def get(name: str) -> bool:
        return subprocess.run(["sh", places.script, name, tmp_path / "out"], check=False).returncode == 0

    assert not get(segment_name(1, S)) and get(segment_name(34, 9 * S)) and get(segment_name(67, 10 * S))
    assert not get(segment_name(34, 10 * S))
    assert segment_name(1, 0)[:8] not in places.script.read_text(), "as short as it can be"


def test_a_new_writer_hands_over_what_is_wholly_part_of_its_history() -> None:
    present = [segment_name(34, n * S) for n in range(7, 12)]
    present += [segment_name(67, 10 * S), segment_name(34, 10 * S) + ".partial", segment_name(50, 8 * S)]
    todo = hand_over(HISTORY, present, (segment_name(34, 7 * S),), None)
    assert todo.archive == (segment_name(34, 8 * S), segment_name(34, 9 * S))
    assert todo.forget == (segment_name(34, 10 * S) + ".partial",)
    assert todo.gap is None


@pytest.mark.parametrize(
    ("newest", "gap"),
    [
        (segment_name(34, 6 * S), None),
        (segment_name(34, 9 * S), None),
        (segment_name(34, 5 * S), segment_name(34, 6 * S)),
        (segment_name(50, 2 * S), None),
        (None, None),
    ],
)
def test_a_gap_in_the_archive_is_noticed(newest: str | None, gap: str | None) -> None:
    present = [segment_name(34, n * S) for n in range(7, 10)]
    assert hand_over(HISTORY, present, (), newest).gap == gap


def test_which_timelines_file_holds_a_place() -> None:
    assert [timeline_at(HISTORY, lsn) for lsn in (0, 2 * S - 1, 2 * S, 10 * S - 1, 10 * S, 99 * S)] == [
        1, 1, 34, 34, 67, 67,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("output", "code", "cause"),
    [
        ("ERROR: [039]: HTTP request failed with 403 (Forbidden):\n*** Path/Query ***:", 39, "credentials"),
        (
            "ERROR: [039]: HTTP request failed with 403 (Server failed to authenticate the request.):\n"
            "*** Response Headers ***:\nkeep-alive: timeout=5",
            39,
            "credentials",
        ),
        ("ERROR: [103]: unable to get authentication token: [invalid_grant] Invalid JWT", 103, "credentials"),
        ("ERROR: [039]: HTTP request failed with 500 (x):\nkeep-alive: timeout=5", 39, "other"),
        ("ERROR: [039]: HTTP request failed with 404 (Not Found):\n<Code>NoSuchBucket</Code>", 39, "bucket"),
        ("ERROR: [095]: unable to verify certificate presented by 'x': [20] unable to get", 95, "certificate"),
        ("ERROR: [049]: unable to get address for 'x': [-2] Name or service not known", 49, "unreachable"),
        ("ERROR: [050]: unable to acquire lock on file", 50, "busy"),
        ("", None, "unreachable"),
        (
            "P00   INFO: restore command begin: --io-timeout=15\nERROR: [029]: local-1: unable to flush",
            29,
            "passphrase",
        ),
        ("ERROR: [101]: error restoring 'x': actual checksum 'a' does not match expected checksum 'b'", 101, "damaged"),
        ("ERROR: [025]: something new", 25, "other"),
    ],
)
def test_a_failure_has_a_cause(output: str, code: int | None, cause: str) -> None:
    assert explain(output, code).cause == cause


def test_pgbackrest_is_not_looked_for_among_postgresqls_programs(tmp_path: Path) -> None:
    repository = Repository(destination=Destination(volume=VolumeDestination(claim_name="x")), stanza="demo-1")
    words = PgBackRest(Tools(), Access(repository, tmp_path, Layout(data=tmp_path, run=tmp_path))).words("info")
    assert Tools().path(words[0]) == "/usr/bin/pgbackrest"
    assert words[1:] == [f"--config={tmp_path}/pgbackrest/{tmp_path.name}/pgbackrest.conf", "--stanza=demo-1", "info"]


async def test_what_pgbackrest_says_before_it_has_read_its_configuration_is_told(tmp_path: Path) -> None:
    program = tmp_path / "pgbackrest"
    program.write_text("#!/bin/sh\necho 'P00  ERROR: [041]: unable to open file x.conf for read'\nexit 41\n")
    program.chmod(0o700)
    repository = Repository(destination=Destination(volume=VolumeDestination(claim_name="x")), stanza="demo-1")
    access = Access(repository, tmp_path, Layout(data=tmp_path, run=tmp_path), program=str(program))
    with pytest.raises(RepositoryError, match="unable to open file"):
        await PgBackRest(Tools(), access).list("exports")

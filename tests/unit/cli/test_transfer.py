from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import typer
from tests.unit.cli.test_cli import PATH, api, invoke
from tests.unit.kube.fake import FakeApi

from aurora_operator.api.agent.exports import NAME, ExportEntry
from aurora_operator.api.spec.repository import Repository
from aurora_operator.cli import inside, transfer
from aurora_operator.kube.errors import Forbidden

__all__ = ["api"]
CLAIMS = "/api/v1/namespaces/ns/persistentvolumeclaims"
SETS = "/apis/apps/v1/namespaces/ns/statefulsets"
WORDS = ("--claim", "exports", "--path", "/monday/", "--jobs", "4")


def ready(fake: FakeApi) -> None:
    members = [{"name": f"demo-{n}", "role": "reader" if n > 1 else "writer", "ready": n < 4} for n in (1, 2, 3, 4)]
    fake.put(PATH, spec={"databaseName": "shop"}, status={"members": members})
    fake.put(f"{CLAIMS}/exports")
    template = {"spec": {"containers": [{"image": "instance:1"}]}}
    fake.put(f"{SETS}/demo-1", spec={"template": template}, metadata={"labels": {"aurorapg.io/cluster": "demo"}})


def job(fake: FakeApi) -> dict[str, Any]:
    (found,) = [body for (verb, path), body in zip(fake.calls, fake.bodies, strict=True) if path.endswith("/jobs")]
    assert isinstance(found, dict)
    return found


def test_an_export_is_a_job_of_the_clusters_own_image(api: FakeApi) -> None:
    ready(api)
    result = invoke("export", "demo", "--no-wait", *WORDS)
    assert result.exit_code == 0, result.output
    made = job(api)
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "instance:1"
    # One reader, not the Service over all: no other one has the snapshot that the workers share. Others if that goes.
    hosts = [f"--host {host}" for host in ("demo-3-0.demo-pods.ns.svc", "demo-2-0.demo-pods.ns.svc", "demo.ns.svc")]
    server = ["--cluster", "demo", *" ".join(hosts).split(), "--database=shop"]
    assert container["command"][3:] == ["export", *server, "--path", "/transfer/monday", "--jobs", "4"]
    assert made["spec"]["backoffLimit"] == 0 and pod["restartPolicy"] == "Never"
    # It is none of the cluster's own pods, and holds no right in Kubernetes.
    assert "aurorapg.io/cluster" not in made["spec"]["template"]["metadata"]["labels"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]


def test_an_import_goes_to_the_writer(api: FakeApi) -> None:
    ready(api)
    assert invoke("import", "demo", "--no-wait", *WORDS).exit_code == 0
    command = job(api)["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[command.index("--host") + 1] == "demo.ns.svc" and command.count("--host") == 1


@pytest.mark.parametrize("database", ['Shop=1 "ü"', "-x", "$(HOSTNAME) $$"])
def test_a_database_of_any_name_gets_to_the_job_as_it_is(api: FakeApi, database: str) -> None:
    ready(api)
    result = invoke("export", "demo", "--no-wait", *WORDS, f"--database={database}")
    assert result.exit_code == 0, result.output
    command = job(api)["spec"]["template"]["spec"]["containers"][0]["command"]
    # What Kubernetes makes of it: a reference whose first $ is doubled is none.
    assert f"--database={database}" in [word.replace("$$", "$") for word in command]
    assert not any("$(" in word.replace("$$", "") for word in command)


def test_what_is_no_name_of_a_database_is_refused(api: FakeApi) -> None:
    ready(api)
    for name, why in (("", "is not empty"), ("ü" * 32, "has up to 63 bytes")):
        result = invoke("import", "demo", *WORDS, f"--database={name}")
        assert result.exit_code == 1 and why in result.output
    assert api.writes == []


def test_what_is_missing_is_said(api: FakeApi) -> None:
    assert "there is no AuroraCluster demo" in invoke("import", "demo", *WORDS).output
    api.put(PATH, spec={})
    assert "there is no PersistentVolumeClaim exports" in invoke("import", "demo", *WORDS).output
    api.put(f"{CLAIMS}/exports")
    api.put(f"{SETS}/other-1", metadata={"labels": {"aurorapg.io/cluster": "other"}})
    assert "demo has no instances yet" in invoke("import", "demo", *WORDS).output


DESTINATION = {
    "s3": {"bucket": "backups", "endpoint": "s3.example.com", "credentials": {"name": "keys"}},
}
BACKUP = {"destination": DESTINATION, "encryption": {"secret": {"name": "pass"}}}


class Inside:
    """What the writer's pod would say."""

    def __init__(self, *entries: ExportEntry, size: int = 0) -> None:
        self.entries = list(entries)
        self.size = size
        self.asked: list[tuple[str, ...]] = []

    async def output(self, words: Sequence[str]) -> str:
        self.asked.append(tuple(words[words.index("--") + 1 :]))
        if "psql" in words:
            return f"{self.size}\n"
        return "".join(f"{entry.model_dump_json(by_alias=True)}\n" for entry in self.entries)


@pytest.fixture
def in_destination(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Callable[[Inside], FakeApi]:
    def prepare(answers: Inside) -> FakeApi:
        monkeypatch.setattr(inside, "output", answers.output)
        ready(api)
        spec = {"databaseName": "shop", "backup": BACKUP, "storage": {"storageClassName": "fast"}}
        members = [{"name": "demo-1", "role": "writer", "ready": True}]
        api.put(PATH, spec=spec, status={"writer": "demo-1", "members": members})
        return api

    return prepare


def entry(**changes: Any) -> ExportEntry:
    known = {"name": "monday", "complete": True, "time": datetime(2026, 11, 25, tzinfo=UTC), "size": 800 << 20}
    return ExportEntry.model_validate(known | changes)


def test_an_export_goes_to_the_destination_by_way_of_a_volume(
    in_destination: Callable[[Inside], FakeApi],
) -> None:
    answers = Inside(size=4 << 30)
    api = in_destination(answers)
    result = invoke("export", "demo", "--name", "monday", "--no-wait")
    assert result.exit_code == 0, result.output
    assert answers.asked[0] == ("python3", "-m", "aurora_operator.agent.exports", "list", "monday")
    made = job(api)
    pod = made["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    claim = volumes["transfer"]["ephemeral"]["volumeClaimTemplate"]["spec"]
    # A quarter more than the database; never on a node's disk, and not kept for a week.
    assert claim["resources"]["requests"]["storage"] == "5376Mi" and claim["storageClassName"] == "fast"
    assert made["spec"]["ttlSecondsAfterFinished"] == 600
    assert volumes["backup-credentials"]["secret"]["secretName"] == "keys"
    assert volumes["backup-encryption"]["secret"]["secretName"] == "pass"
    assert volumes["tmp"]["emptyDir"]["medium"] == "Memory"
    (container,) = pod["containers"]
    words = container["command"]
    assert words[words.index("--name") + 1] == "monday" and words[words.index("--path") + 1] == "/transfer"
    (variable,) = container["env"]
    repository = Repository.model_validate_json(variable["value"])
    assert repository.destination.path == "/aurora/ns" and repository.encryption is not None
    assert pod["serviceAccountName"] == "demo" and pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("forbidden", [False, True])
@pytest.mark.parametrize(("end", "kept"), [("Complete", 60), ("Failed", 600)])
def test_the_volume_goes_soon_once_all_is_well(
    in_destination: Callable[[Inside], FakeApi],
    monkeypatch: pytest.MonkeyPatch,
    end: str,
    kept: int,
    forbidden: bool,
) -> None:
    api = in_destination(Inside(size=1))
    if forbidden:
        api.fail["PATCH", "/jobs/"] = Forbidden(403, "Forbidden", "not you")
    request = api.request

    async def finish(method: str, path: str, **given: Any) -> dict[str, Any]:
        answer = await request(method, path, **given)
        if method == "POST":
            condition = {"type": end, "status": "True"}
            api.objects[f"{path}/{answer['metadata']['name']}"]["status"] = {"conditions": [condition]}
        return answer

    monkeypatch.setattr(api, "request", finish)
    monkeypatch.setattr(transfer, "_POLL_SECONDS", 0)
    result = invoke("export", "demo", "--name", "monday")
    assert result.exit_code == (0 if end == "Complete" else 1), result.output
    (left,) = [found for path, found in api.objects.items() if "/jobs/" in path]
    assert left["spec"]["ttlSecondsAfterFinished"] == (600 if forbidden else kept)


def test_an_import_has_room_for_the_export(in_destination: Callable[[Inside], FakeApi]) -> None:
    api = in_destination(Inside(entry()))
    assert invoke("import", "demo", "--name", "monday", "--no-wait").exit_code == 0
    (volume, *_) = job(api)["spec"]["template"]["spec"]["volumes"]
    assert volume["ephemeral"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"] == "1256Mi"


def test_a_size_of_ones_own_needs_no_look_inside(in_destination: Callable[[Inside], FakeApi]) -> None:
    answers = Inside()
    api = in_destination(answers)
    assert invoke("import", "demo", "--name", "monday", "--scratch", "7Gi", "--no-wait").exit_code == 0
    (volume, *_) = job(api)["spec"]["template"]["spec"]["volumes"]
    assert volume["ephemeral"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"] == "7Gi"
    assert answers.asked == []


@pytest.mark.parametrize(
    ("words", "entries", "why"),
    [
        (("export", "demo", "--name", "monday"), [entry()], "an export never overwrites another one"),
        (("export", "demo", "--name", "../monday"), [], "cannot be its name"),
        (("export", "demo", "--path", "monday"), [], "needs --claim"),
        (("export", "demo", "--claim", "exports"), [], "--claim needs --path"),
        (("export", "demo", "--claim", "exports", "--name", "monday"), [], "--claim goes with --path"),
        (("export", "demo", "--scratch", "much"), [], "'much' is not a quantity"),
        (("import", "demo"), [], "which export? Give its --name; see: aurora exports demo"),
        (("import", "demo", "--name", "monday"), [], "there is no export monday"),
        (("import", "demo", "--name", "monday"), [entry(complete=False, problem="cut off")], "imported: cut off"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(
    in_destination: Callable[[Inside], FakeApi], words: tuple[str, ...], entries: list[ExportEntry], why: str
) -> None:
    api = in_destination(Inside(*entries))
    result = invoke(*words)
    assert result.exit_code == 1 and why in result.output, result.output
    assert api.writes == []


def test_without_a_destination_a_volume_is_needed(api: FakeApi) -> None:
    ready(api)
    said = invoke("export", "demo").output
    assert "demo has no spec.backup, and so no destination: set it, or name a volume by --claim" in said


@pytest.mark.parametrize(
    ("database", "name"),
    [
        ("shop", "shop-20261125T120000Z"),
        ("Späte äpfel", "Sp-te--pfel-20261125T120000Z"),
        ("..", "database-20261125T120000Z"),
    ],
)
def test_every_database_gives_a_name(database: str, name: str) -> None:
    assert transfer.default_name(database, datetime(2026, 11, 25, 12, tzinfo=UTC)) == name
    assert NAME.fullmatch(name)


def test_exports_are_listed_and_removed(in_destination: Callable[[Inside], FakeApi]) -> None:
    answers = Inside(entry(database="shop"), entry(name="tuesday", complete=False, problem="cut off"))
    in_destination(answers)
    listed = invoke("exports", "demo").output
    assert "monday" in listed and "2026-11-25T00:00:00Z" in listed and "800.0 MiB" in listed and "cut off" in listed
    answers.entries = []
    assert "there are none" in invoke("exports", "demo").output
    assert "export monday is removed" in invoke("exports", "demo", "--remove", "monday").output
    assert answers.asked[-1][-2:] == ("remove", "monday")


def test_what_is_piped_is_a_line_for_each(in_destination: Callable[[Inside], FakeApi]) -> None:
    name, problem = "n" * 63, "what is stored there cannot be decrypted with this passphrase" * 3
    in_destination(Inside(entry(name=name, database="d" * 63, problem=problem), entry()))
    lines = invoke("exports", "demo").output.splitlines()
    assert len(lines) == 3 and lines[1].startswith(f"{name}  ") and lines[1].endswith(problem)
    assert lines[2].startswith("monday ") and all(line == line.rstrip() for line in lines)


async def test_what_fails_inside_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    script = "echo the destination refuses the credentials >&2; echo command terminated with exit code 1 >&2; exit 1"
    with pytest.raises(typer.Exit):
        await inside.output(["sh", "-c", script])
    assert capsys.readouterr().err == "aurora: the destination refuses the credentials\n"
    assert await inside.output(["sh", "-c", "echo fine"]) == "fine\n"


@pytest.mark.parametrize(
    ("conditions", "state"),
    [
        ([], None),
        ([{"type": "Complete", "status": "True"}], "Complete"),
        ([{"type": "Complete", "status": "False"}, {"type": "Failed", "status": "True"}], "Failed"),
    ],
)
def test_how_a_job_ends(conditions: list[dict[str, str]], state: str | None) -> None:
    assert transfer._state({"status": {"conditions": conditions}}) == state
    assert transfer._state(None) == "Failed"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("1 of 2 tables\nexport of shop failed: so it is:\n- a\n- b", "export of shop failed: so it is:\n- a\n- b"),
        ("Traceback\nMemoryError", "MemoryError"),
    ],
)
def test_all_of_an_error_is_said(said: str, why: str) -> None:
    assert transfer.why(said, "export of shop") == why


def test_what_a_complete_one_remarks_is_said() -> None:
    def pod(code: int, **more: str) -> dict[str, Any]:
        return {"status": {"containerStatuses": [{"state": {"terminated": {"exitCode": code, **more}}}]}}

    assert transfer.remarks([pod(0, message="a\nb"), pod(0), pod(1, message="c"), {"status": {}}]) == ["a", "b"]

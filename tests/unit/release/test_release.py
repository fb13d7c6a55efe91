"""What is published can be trusted: whole, reproducible, named alike everywhere."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hack.release import archive, plugin, sbom
from hack.release.project import PLATFORMS, Release, this_release
from tests.kind.cache import REPO
from tests.kind.shell import HarnessError

RELEASE = Release("1.2.3", datetime(2026, 3, 1, 12, tzinfo=UTC), Path("dist"), "https://forge.example/aurora")
LOCK = tomllib.loads((REPO / "uv.lock").read_text())
DPKG = "libc6\t2.41-12\tamd64\tglibc\npostgresql-17\t17.12-0+deb13u1\tamd64\tpostgresql-17\n"
COMMAND = {
    "aurora_operator/__init__.py": b"",
    "aurora_operator/cli/__init__.py": b"",
    "aurora_operator/cli/main.py": b"import sys\ndef main(): print('ran', __file__, *sys.argv[1:])\n",
}


def run(file: Path, cache: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return subprocess.run([sys.executable, file, *words], env=environment, capture_output=True, text=True, timeout=60)


def test_the_release_is_of_this_version() -> None:
    version = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"]
    release = this_release(Path("dist"))
    assert release.version == version and release.url.endswith(f"/v{version}")


def test_the_plugin_unpacks_itself_once_and_runs(tmp_path: Path) -> None:
    file = tmp_path / "kubectl-aurora"
    file.write_bytes(plugin.executable(COMMAND, RELEASE))
    first = run(file, tmp_path / "cache", "status", "demo")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("ran ") and first.stdout.endswith(" status demo\n")
    (unpacked,) = (tmp_path / "cache" / "kubectl-aurora").iterdir()
    assert str(unpacked) in first.stdout
    (unpacked / "aurora_operator" / "cli" / "main.py").write_text("def main(): print('once more')\n")
    assert run(file, tmp_path / "cache").stdout == "once more\n"
    # Another content has another folder.
    file.write_bytes(plugin.executable({**COMMAND, "more.py": b""}, RELEASE))
    assert run(file, tmp_path / "cache").stdout.startswith("ran ")
    assert len(list((tmp_path / "cache" / "kubectl-aurora").iterdir())) == 2


def test_the_plugin_runs_nothing_that_others_could_have_written(tmp_path: Path) -> None:
    file, cache = tmp_path / "kubectl-aurora", tmp_path / "cache" / "kubectl-aurora"
    file.write_bytes(plugin.executable(COMMAND, RELEASE))
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    refused = run(file, tmp_path / "cache")
    assert refused.returncode == 1 and "can be written to by others" in refused.stderr


def test_the_plugin_says_which_python_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "PYTHONS", ("3.1", "3.2"))
    file = tmp_path / "kubectl-aurora"
    file.write_bytes(plugin.executable(COMMAND, RELEASE))
    refused = run(file, tmp_path / "cache")
    assert "needs Python 3.1 to 3.2 as python3" in refused.stderr and not (tmp_path / "cache").exists()


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    assert plugin.executable(COMMAND, RELEASE) == plugin.executable(dict(reversed(COMMAND.items())), RELEASE)
    for name in ("a", "b"):
        archive.write_tar(tmp_path / name, {"x": (b"1", 0o755), "LICENSE": (b"2", 0o644)}, RELEASE.time)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with tarfile.open(tmp_path / "a") as made:
        assert [(m.name, m.mode, m.uid, m.uname) for m in made] == [("LICENSE", 0o644, 0, ""), ("x", 0o755, 0, "")]


def test_modules_of_several_pythons_lie_side_by_side_or_not_at_all(tmp_path: Path) -> None:
    for version in ("311", "313"):
        (tmp_path / version / "fast").mkdir(parents=True)
        (tmp_path / version / "fast" / f"c.cpython-{version}-x86_64-linux-gnu.so").write_text(version)
        (tmp_path / version / "fast" / "__init__.py").write_text("same")
        (tmp_path / version / "bin").mkdir()
        (tmp_path / version / "bin" / "tool").write_text(version)
    files: dict[str, bytes] = {}
    plugin.merge(files, tmp_path / "311")
    plugin.merge(files, tmp_path / "313")
    assert len(files) == 3 and "bin/tool" not in files
    (tmp_path / "313" / "fast" / "__init__.py").write_text("other")
    with pytest.raises(HarnessError, match=r"fast/__init__\.py differs"):
        plugin.merge(files, tmp_path / "313")


def test_what_the_command_imports_is_in_the_plugin() -> None:
    own = plugin.own_modules()
    assert "aurora_operator/cli/main.py" in own and "aurora_operator/api/__init__.py" in own
    assert not [name for name in own if name.split("/")[1] in ("agent", "controller", "gateway")]


def test_krew_finds_each_archive_under_its_checksum() -> None:
    manifest: Any = plugin.krew_manifest(RELEASE, dict.fromkeys(PLATFORMS, "0" * 64))
    assert yaml.safe_load(yaml.safe_dump(manifest)) == manifest
    spec = manifest["spec"]
    assert spec["version"] == "v1.2.3" and len(spec["shortDescription"]) <= 50
    assert spec["platforms"][0]["uri"] == (
        "https://forge.example/aurora/releases/download/v1.2.3/kubectl-aurora_1.2.3_linux_amd64.tar.gz"
    )
    assert {p["bin"] for p in spec["platforms"]} == {"kubectl-aurora"}


def test_checksums_are_of_all_files_and_as_sha256sum_reads_them(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "a").write_bytes(b"1")
    sums = archive.write_sums(tmp_path)
    assert sums.read_text() == "".join(f"{hashlib.sha256(c).hexdigest()}  {n}\n" for n, c in (("a", b"1"), ("b", b"2")))
    assert archive.write_sums(tmp_path).read_text().count("\n") == 2


def components(bill: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {component["name"]: component for component in bill["components"]}


def images_of(component: dict[str, Any]) -> list[str]:
    return [item["value"] for item in component["properties"]]


def test_the_bill_names_what_the_images_hold_and_nothing_else() -> None:
    found = components(sbom.bill(RELEASE, LOCK, {"instance": sbom.parse_dpkg(DPKG)}))
    assert {"kopf", "psycopg", "psycopg-binary", "pydantic", "cryptography", "typing-extensions"} <= found.keys()
    assert not {"pytest", "ruff", "hypothesis", "grpcio"} & found.keys()
    assert images_of(found["kopf"]) == ["aurora-operator"]
    assert images_of(found["psycopg"]) == ["aurora-instance"]
    assert images_of(found["pydantic"]) == ["aurora-operator", "aurora-instance"]
    debian = found["aurora-instance"]["components"]
    assert debian[1]["purl"] == "pkg:deb/debian/postgresql-17@17.12-0%2Bdeb13u1?arch=amd64&distro=trixie"
    assert "components" not in found["aurora-operator"]


def test_every_reference_in_the_bill_leads_somewhere() -> None:
    bill = sbom.bill(RELEASE, LOCK, {name: sbom.parse_dpkg(DPKG) for name in sbom.EXTRAS})
    references = [bill["metadata"]["component"]["bom-ref"], *(c["bom-ref"] for c in bill["components"])]
    references += [inner["bom-ref"] for c in bill["components"] for inner in c.get("components", ())]
    assert len(references) == len(set(references))
    for dependency in bill["dependencies"]:
        assert {dependency["ref"], *dependency["dependsOn"]} <= set(references)


def test_the_bill_is_reproducible_and_has_a_number_of_its_own() -> None:
    first, again = (json.dumps(sbom.bill(RELEASE, LOCK, {})) for _ in range(2))
    other = sbom.bill(replace(RELEASE, version="1.2.4"), LOCK, {})
    assert first == again
    assert json.loads(first)["serialNumber"] != other["serialNumber"]


def test_every_extra_is_of_an_image() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    assert set(project["optional-dependencies"]) == {extra for extras in sbom.EXTRAS.values() for extra in extras}

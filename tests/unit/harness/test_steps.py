"""Which way the harness goes on which machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.kind import base, context, docker, engine, nodeimage, shell, system, tools


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("this step was not to be taken")


def answer(value: object) -> Callable[..., object]:
    return lambda *_, **__: value


def test_an_engine_that_answers_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "engine_answers", answer(True))
    monkeypatch.setattr(engine, "install", refuse)
    engine.ensure()


def test_an_engine_elsewhere_is_not_replaced_by_one_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "engine_answers", answer(False))
    monkeypatch.setattr(engine, "install", refuse)
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    with pytest.raises(shell.HarnessError, match="elsewhere"):
        engine.ensure()


def test_without_root_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "engine_answers", answer(False))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(engine, "may_install", answer(False))
    with pytest.raises(shell.HarnessError, match="start Docker"):
        engine.ensure()


def test_the_runtime_is_only_wrapped_where_a_capability_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AURORA_KIND_CACHE", str(tmp_path))
    monkeypatch.setattr(engine, "capabilities_missing", answer([]))
    assert engine._runtime_options() == []
    monkeypatch.setattr(engine, "capabilities_missing", answer([24]))
    assert "--default-runtime" in engine._runtime_options()
    assert (tmp_path / "capped-runc").read_text().startswith("#!/")


def test_the_official_node_image_is_used_where_it_pulls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodeimage, "image_id", answer(None))
    monkeypatch.setattr(nodeimage, "pull", answer(True))
    monkeypatch.setattr(nodeimage, "_key", refuse)
    assert nodeimage.ensure(registry=True) == nodeimage.OFFICIAL


def test_a_base_image_is_pulled_before_it_is_bootstrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "image_id", answer(None))
    monkeypatch.setattr(base, "_bootstrap", refuse)
    monkeypatch.setattr(base, "pull", answer(True))
    assert base.ensure("trixie", registry=True) == "debian:trixie-slim"


def test_a_person_may_say_whether_there_is_a_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "succeeds", refuse)
    monkeypatch.setenv("AURORA_KIND_REGISTRY", "no")
    assert docker.registry_answers() is False
    monkeypatch.setenv("AURORA_KIND_REGISTRY", "yes")
    assert docker.registry_answers() is True


def test_our_own_pause_image_does_not_pass_for_a_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AURORA_KIND_REGISTRY", raising=False)
    monkeypatch.setattr(docker, "image_id", answer("sha256:1"))
    monkeypatch.setattr(docker, "image_label", answer("pause"))
    monkeypatch.setattr(docker, "succeeds", answer(False))
    assert docker.registry_answers() is False


def test_missing_programs_are_named_where_they_cannot_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "may_install", answer(False))
    with pytest.raises(shell.HarnessError, match="debootstrap"):
        system.install("debootstrap", program="no-such-program")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("kind v0.33.0 go1.26.8 linux/amd64", (0, 33)),
        ("v4.3.1+gabcdef", (4, 3)),
        ("Client Version: v1.32.0\nKustomize Version: v5.5.0", (1, 32)),
        ("uv 0.13.9 (Homebrew)", (0, 13)),
        ("nothing", (0, 0)),
    ],
)
def test_versions_are_found_in_what_tools_say(text: str, version: tuple[int, int]) -> None:
    assert tools.parse_version(text) == version


def test_a_cluster_that_is_not_ours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: str, **__: object) -> str:
        raise shell.CommandFailed(["kubectl"], 1, 'configmaps "aurora-kind" not found')

    monkeypatch.setattr(context, "kubectl", missing)
    with pytest.raises(shell.HarnessError, match="kind-aurora is not it"):
        context.require_own_context()

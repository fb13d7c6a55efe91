"""kind-config.yaml says what the tests rely on."""

from __future__ import annotations

from pathlib import Path

import yaml
from tests.kind.cluster import CONFIG
from tests.kind.context import CLUSTER
from tests.kind.node import capped_runc

CONFIGURATION = yaml.safe_load(CONFIG.read_text())


def test_there_is_a_worker_in_each_of_three_zones() -> None:
    assert CONFIGURATION["name"] == CLUSTER
    roles = [node["role"] for node in CONFIGURATION["nodes"]]
    assert roles == ["control-plane", "worker", "worker", "worker"]
    zones = [node["labels"]["topology.kubernetes.io/zone"] for node in CONFIGURATION["nodes"][1:]]
    assert zones == ["zone-a", "zone-b", "zone-c"]


def test_the_patches_are_well_formed_and_let_the_kubelet_start_on_cgroup_v1() -> None:
    patches = [yaml.safe_load(patch) for patch in CONFIGURATION["kubeadmConfigPatches"]]
    kubelet = next(patch for patch in patches if patch["kind"] == "KubeletConfiguration")
    assert kubelet["failCgroupV1"] is False
    for patch in CONFIGURATION["nodes"][0]["kubeadmConfigPatches"]:
        assert yaml.safe_load(patch)["kind"] == "ClusterConfiguration"


def test_the_runtime_takes_out_only_what_is_missing(tmp_path: Path) -> None:
    document = tmp_path / "process.json"
    document.write_text('{"capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"]}, "rlimits": [1]}')
    lacking, capped_runc.missing = capped_runc.missing, lambda: {"CAP_SYS_RESOURCE"}
    try:
        capped_runc.rewrite(document)
    finally:
        capped_runc.missing = lacking
    assert document.read_text() == '{"capabilities": {"bounding": ["CAP_CHOWN"]}}'

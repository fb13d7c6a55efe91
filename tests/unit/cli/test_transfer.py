from __future__ import annotations

from typing import Any

import pytest
from tests.unit.cli.test_cli import PATH, api, invoke
from tests.unit.kube.fake import FakeApi

from aurora_operator.cli import transfer

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
    # One reader, not the Service over all: no other one has the snapshot that the workers share.
    where = ["--host", "demo-3-0.demo-pods.ns.svc", "--database", "shop", "--path", "/transfer/monday", "--jobs", "4"]
    assert container["command"][3:] == ["export", *where]
    assert made["spec"]["backoffLimit"] == 0 and pod["restartPolicy"] == "Never"
    # It is none of the cluster's own pods, and holds no right in Kubernetes.
    assert "aurorapg.io/cluster" not in made["spec"]["template"]["metadata"]["labels"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]


def test_an_import_goes_to_the_writer(api: FakeApi) -> None:
    ready(api)
    assert invoke("import", "demo", "--no-wait", *WORDS).exit_code == 0
    command = job(api)["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[command.index("--host") + 1] == "demo.ns.svc"


def test_what_is_missing_is_said(api: FakeApi) -> None:
    assert "there is no AuroraCluster demo" in invoke("import", "demo", *WORDS).output
    api.put(PATH, spec={})
    assert "there is no PersistentVolumeClaim exports" in invoke("import", "demo", *WORDS).output
    api.put(f"{CLAIMS}/exports")
    api.put(f"{SETS}/other-1", metadata={"labels": {"aurorapg.io/cluster": "other"}})
    assert "demo has no instances yet" in invoke("import", "demo", *WORDS).output


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

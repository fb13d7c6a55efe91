"""Install the operator into our cluster, by its chart and with the images that were built here.

`python -m tests.kind.chart` does it; run again, it upgrades, and does nothing when nothing has changed.
"""

from __future__ import annotations

import sys

from tests.kind import docker, project, tools
from tests.kind.cache import REPO
from tests.kind.context import KUBE_CONTEXT, require_own_context
from tests.kind.shell import HarnessError, output, run, step

NAMESPACE = "aurora-system"
RELEASE = "aurora-operator"


def install() -> None:
    """Return once the operator runs. Raises HarnessError."""
    tools.use("helm", "kubectl")
    require_own_context()
    with step("install the operator with its Helm chart"):
        images = {image.name: image.tag for image in project.IMAGES}
        values = {
            "image.tag": images["operator"].partition(":")[2],
            "instanceImage": images["instance"],
            # The tag is always the same: a new image must make a new pod.
            "podAnnotations.built-from": (docker.image_id(images["operator"]) or "unknown").removeprefix("sha256:"),
        }
        settings = [word for name, value in values.items() for word in ("--set-string", f"{name}={value}")]
        run(
            ["helm", "upgrade", "--install", RELEASE, REPO / "charts" / "aurora-operator", *settings, *_adopt(),
             "--kube-context", KUBE_CONTEXT, "--namespace", NAMESPACE, "--create-namespace",
             "--wait", "--timeout", "180s"],
        )  # fmt: skip


def _adopt() -> list[str]:
    """Options to take over what is there already: `helm uninstall` leaves the CRD, and people apply it by hand."""
    major, _ = tools.parse_version(output(["helm", "version", "--short"]))
    return ["--take-ownership", *(["--force-conflicts"] if major >= 4 else [])]


if __name__ == "__main__":
    try:
        install()
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)

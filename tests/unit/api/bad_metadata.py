"""Labels and annotations for pods that must be refused."""

from __future__ import annotations

from typing import Final

from tests.unit.api.case import Bad

_KEY: Final = "A key in podMetadata.{} must be as Kubernetes writes it: a name of at most 63 letters"
_OURS: Final = "podMetadata.{} has a key that the operator or Kubernetes sets itself (aurorapg.io/…,"
_VALUE: Final = "A value in podMetadata.labels must be at most 63 letters, digits, dots, dashes and underscores"

BAD_METADATA: Final = (
    *(
        Bad(f"{what}-key-{number}", {"podMetadata": {what: {key: "x"}}}, _KEY.format(what))
        for what in ("labels", "annotations")
        for number, key in enumerate(("", "-a", "a-", "a b", "a/", "/a", "A.b/c", "a/b/c", "a..b/c", "a" * 64))
    ),
    *(
        Bad(f"{what}-ours-{number}", {"podMetadata": {what: {key: "x"}}}, _OURS.format(what))
        for what in ("labels", "annotations")
        for number, key in enumerate(
            (
                "aurorapg.io/role",
                "aurorapg.io/anything",
                "of.aurorapg.io/a",
                "app.kubernetes.io/name",
                "topology.kubernetes.io/zone",
                "kubectl.kubernetes.io/default-container",
            )
        )
    ),
    *(
        Bad(f"label-value-{number}", {"podMetadata": {"labels": {"a": value}}}, _VALUE)
        for number, value in enumerate(("a b", "-", "a/b", "ä", "a\n"))
    ),
)

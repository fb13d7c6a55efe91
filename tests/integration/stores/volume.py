"""A destination that is a volume: a directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.integration.stores.store import BUCKET, PASSPHRASE, write

from aurora_operator.api.spec.repository import Destination, VolumeDestination


@dataclass
class Volume:
    root: Path

    def start(self) -> None:
        """There is nothing to start: the directory is there."""

    def stop(self) -> None:
        """There is nothing to stop."""

    def destination(self, *, bucket: str = BUCKET) -> Destination:
        return Destination(volume=VolumeDestination(claim_name=bucket), path="/aurora/test")

    def mount(self, folder: Path, *, secret_key: str | None = None) -> None:
        write(folder, {"encryption/passphrase": PASSPHRASE})
        if not (folder / "volume").exists():
            (folder / "volume").symlink_to(self.root)

    def files(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}

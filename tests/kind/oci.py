"""Turning `docker save`'s archive into an OCI layout from which single blobs can be left out.

`docker save` writes three different layouts depending on the engine's age and image store; all of them have
a manifest.json that names the configuration and the layers. We keep the blobs, each under its own hash, and
write our own manifest, so that the same image always has the same manifest digest.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import IO, Any

from tests.kind.shell import CommandFailed

Archive = Path

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def save(image: str, target: Path, *, compress: bool = False) -> None:
    """Store a local image as a folder of blobs and a manifest; compressed to be kept, plain to be sent."""
    raw = target.with_name("raw")
    raw.mkdir(parents=True)
    command = ["docker", "save", image]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            _extract(archive, raw)
        complaint = process.stderr.read().decode(errors="replace")
    if process.returncode:
        raise CommandFailed(command, process.returncode, complaint)
    entry = json.loads((raw / "manifest.json").read_text())[0]
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    config = _keep((raw / entry["Config"]), blobs, _CONFIG)
    layers = [_keep(raw / name, blobs, _LAYER) for name in entry["Layers"]]
    if compress:
        layers = [_compressed(layer, blobs) for layer in layers]
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": layers}, sort_keys=True
    ).encode()
    (target / "manifest").write_bytes(manifest)
    shutil.rmtree(raw)


def manifest_digest(archive: Archive) -> str:
    """The digest that a node knows the image by."""
    return "sha256:" + hashlib.sha256((archive / "manifest").read_bytes()).hexdigest()


def blobs(archive: Archive) -> list[str]:
    """Digests of the image's configuration and layers."""
    manifest: dict[str, Any] = json.loads((archive / "manifest").read_text())
    parts = [manifest["config"], *manifest["layers"]]
    return list(dict.fromkeys(str(part["digest"]) for part in parts))


def write(archive: Archive, names: Iterable[str], included: Collection[str], stream: IO[bytes]) -> None:
    """Write the image under one or more names as a tar for `ctr images import`, with only the included blobs."""
    manifest = (archive / "manifest").read_bytes()
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": _MANIFEST,
                "digest": manifest_digest(archive),
                "size": len(manifest),
                "annotations": {"io.containerd.image.name": name},
            }
            for name in names
        ],
    }
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(tar, "index.json", json.dumps(index).encode())
        _add(tar, _blob_path(manifest_digest(archive)), manifest)
        for blob in included:
            tar.add(archive / _blob_path(blob), arcname=_blob_path(blob), recursive=False)


def _extract(archive: tarfile.TarFile, target: Path) -> None:
    if hasattr(tarfile, "data_filter"):  # Debian 12's Python is older than it
        archive.extractall(target, filter="data")
    else:
        archive.extractall(target)


def _keep(source: Path, folder: Path, media_type: str) -> dict[str, Any]:
    with source.open("rb") as handle:
        compressed = handle.read(2) == b"\x1f\x8b"
        handle.seek(0)
        if compressed:  # stored as it is unpacked, so that its digest is the one the configuration names
            digest = _unpacked(handle, folder)
        else:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
            # Linked, not moved: an old engine stores a repeated layer once, with symbolic links to it.
            if not (folder / digest).exists():
                (folder / digest).hardlink_to(source.resolve())
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": (folder / digest).stat().st_size}


def _compressed(layer: dict[str, Any], folder: Path) -> dict[str, Any]:
    plain = folder / str(layer["digest"]).removeprefix("sha256:")
    scratch = folder / f"{plain.name}.gz"
    if not scratch.exists():  # it may be a repeated layer
        # The lowest level: most of the gain for a fraction of the time.
        with plain.open("rb") as source, scratch.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed:
            shutil.copyfileobj(source, packed, 1 << 20)
    with scratch.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    if not (folder / digest).exists():
        (folder / digest).hardlink_to(scratch)
    return {"mediaType": f"{_LAYER}+gzip", "digest": f"sha256:{digest}", "size": scratch.stat().st_size}


def _unpacked(handle: IO[bytes], folder: Path) -> str:
    total = hashlib.sha256()
    scratch = folder / "unpacking"
    with gzip.open(handle) as plain, scratch.open("wb") as out:
        for chunk in _chunks(plain):
            total.update(chunk)
            out.write(chunk)
    scratch.rename(folder / total.hexdigest())
    return total.hexdigest()


def _chunks(handle: IO[bytes] | gzip.GzipFile) -> Iterable[bytes]:
    while chunk := handle.read(1 << 20):
        yield chunk


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _blob_path(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"

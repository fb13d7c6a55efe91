"""Regenerate the protobuf modules of the driver: ``python -m tests.kind.csi.generate``.

The generated files are committed, so that neither the tests nor the image build needs protoc or the
network. Both .proto files come out of the Go module proxy at the versions named below; gRPC's own stubs
are not generated, because the server builds its method table from the descriptors (see driver/rpc.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

SPEC = "github.com/container-storage-interface/spec@v1.13.0"
KUBELET = "k8s.io/kubelet@v0.35.4"
DRIVER = Path(__file__).resolve().parent / "driver"


def module_dir(module: str) -> Path:
    """Return where the Go module (``path@version``) is unpacked, downloading it if need be.

    Raises subprocess.CalledProcessError if the module cannot be had.
    """
    done = subprocess.run(
        ["go", "mod", "download", "-json", module], check=True, capture_output=True, text=True, cwd="/"
    )
    return Path(json.loads(done.stdout)["Dir"])


def generate() -> None:
    """Write csi_pb2 and registration_pb2 (.py and .pyi) beside the driver."""
    sources = {
        "csi": module_dir(SPEC) / "csi.proto",
        "registration": module_dir(KUBELET) / "pkg/apis/pluginregistration/v1/api.proto",
    }
    with tempfile.TemporaryDirectory() as scratch:
        for name, proto in sources.items():
            (Path(scratch) / f"{name}.proto").write_bytes(proto.read_bytes())
        command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--python_out=.", "--pyi_out=."]
        subprocess.run([*command, *(f"{name}.proto" for name in sources)], check=True, cwd=scratch)
        for name in sources:
            for suffix in (".py", ".pyi"):
                text = (Path(scratch) / f"{name}_pb2{suffix}").read_text()
                # protobuf ships no types, so mypy would complain about the generated classes' bases.
                (DRIVER / f"{name}_pb2{suffix}").write_text(f"# mypy: ignore-errors\n{text}")


if __name__ == "__main__":
    generate()

"""Build the CSI sidecars from the Go module proxy, for a machine that has no image registry.

The four programs share nearly all their code, so they are linked into one binary that looks at the name it
was called by: one image of some 80 MB instead of four of 60 MB. Go does not let anyone import a ``main``
package, so its files are copied out of the downloaded module under another package name. Each copy declares
its flags while it is initialised; a file that sorts first gives every copy a flag set of its own, or they
would collide on names such as -kubeconfig.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULE = "aurora.test/csi-sidecars"
SANITY_PACKAGE = "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity"


@dataclass(frozen=True)
class Program:
    """One sidecar: the name it is called by, and the Go package its ``main`` lives in."""

    name: str
    package: str

    @property
    def identifier(self) -> str:
        """The name as a Go package name."""
        return self.name.replace("-", "")


PROGRAMS = (
    Program("csi-provisioner", "github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner"),
    Program("csi-resizer", "github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer"),
    Program("csi-snapshotter", "github.com/kubernetes-csi/external-snapshotter/v8/cmd/csi-snapshotter"),
    Program("snapshot-controller", "github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller"),
)

FLAGS = """package {package}

import (
	"flag"
	"os"
)

// Flags holds this program's own flags. This file sorts first, so it is initialised before they are declared.
var Flags = fresh()

func fresh() *flag.FlagSet {{
	flag.CommandLine = flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	return flag.CommandLine
}}
"""

MAIN = """package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

{imports}
)

func main() {{
	switch filepath.Base(os.Args[0]) {{
{cases}
	default:
		fmt.Fprintln(os.Stderr, "call me by the name of a sidecar: {names}")
		os.Exit(64)
	}}
}}
"""


def render_main() -> str:
    """Return the Go source of the dispatcher."""
    imports = "\n".join(f'\t"{MODULE}/{program.identifier}"' for program in PROGRAMS)
    cases = "\n".join(
        f'\tcase "{program.name}":\n\t\tflag.CommandLine = {program.identifier}.Flags\n\t\t{program.identifier}.Main()'
        for program in PROGRAMS
    )
    return MAIN.format(imports=imports, cases=cases, names=", ".join(p.name for p in PROGRAMS))


def adopt(source: str, package: str) -> str:
    """Return a ``main`` package's Go source as a library: package renamed, ``main`` exported as ``Main``."""
    renamed = re.sub(r"^package main$", f"package {package}", source, count=1, flags=re.MULTILINE)
    return re.sub(r"^func main\(\)", "func Main()", renamed, count=1, flags=re.MULTILINE)


def lay_out(work: Path) -> None:
    """Fill ``work`` with a Go module that has the dispatcher and the adopted programs.

    Raises subprocess.CalledProcessError if the modules cannot be downloaded.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name in ("go.mod", "go.sum"):
        shutil.copy(HERE / name, work / name)
    for program in PROGRAMS:
        listed = subprocess.run(
            ["go", "list", "-f", "{{.Dir}}", program.package], cwd=work, check=True, capture_output=True, text=True
        )
        target = work / program.identifier
        target.mkdir()
        for file in sorted(Path(listed.stdout.strip()).glob("*.go")):
            if not file.name.endswith("_test.go"):
                (target / file.name).write_text(adopt(file.read_text(), program.identifier))
        (target / "aa_flags.go").write_text(FLAGS.format(package=program.identifier))
    (work / "main.go").write_text(render_main())


def build_sidecars(work: Path, output: Path) -> None:
    """Link the sidecars into ``output``, laying out the Go module in ``work`` first."""
    lay_out(work)
    _go_build(work, output, ".")


def build_sanity(output: Path) -> None:
    """Build csi-sanity, the conformance test, into ``output``."""
    _go_build(HERE, output, SANITY_PACKAGE)


def _go_build(directory: Path, output: Path, package: str) -> None:
    command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(output), package]
    environment = {"CGO_ENABLED": "0"}
    subprocess.run(["env", *(f"{k}={v}" for k, v in environment.items()), *command], cwd=directory, check=True)

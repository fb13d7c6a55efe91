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
from dataclasses import dataclass
from pathlib import Path

from tests.kind import cache, golang
from tests.kind.shell import output, step

GO_MODULE = Path(__file__).resolve().parent / "go"
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
    """Make ``work`` a Go module that has the dispatcher and the adopted programs.

    Raises CommandFailed if the modules cannot be downloaded.
    """
    work.mkdir(parents=True)
    for name in ("go.mod", "go.sum"):
        shutil.copy(GO_MODULE / name, work / name)
    for program in PROGRAMS:
        source = Path(output(["go", "list", "-f", "{{.Dir}}", program.package], cwd=work).strip())
        target = work / program.identifier
        target.mkdir()
        for file in sorted(source.glob("*.go")):
            if not file.name.endswith("_test.go"):
                (target / file.name).write_text(adopt(file.read_text(), program.identifier))
        (target / "aa_flags.go").write_text(FLAGS.format(package=program.identifier))
    (work / "main.go").write_text(render_main())


def sidecars_binary() -> Path:
    """Return the binary with the sidecars, made or cached. Takes minutes and most of the machine to make."""
    module = cache.slot("csi-sidecars", cache.digest(GO_MODULE, Path(__file__), golang.version()))
    if not module.exists():
        with step("fetch the CSI sidecars' sources"), cache.filling(module) as made:
            lay_out(made)
    return golang.binary(module, name="csi-sidecars")


def sanity_binary() -> Path:
    """Return csi-sanity, the conformance test, made or cached."""
    return golang.binary(GO_MODULE, SANITY_PACKAGE, name="csi-sanity")

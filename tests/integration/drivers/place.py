"""A place like an application's pod: names of Services in the DNS, and the Secret mounted where the manifest says.

A mount namespace has both, so that programs run as they are: no address, path or host name in them is of the test.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# The first arguments are a folder for the root, what is mounted, where, and the hosts file. `/` is seen through bind
# mounts, so that a folder can be added to it without one being made on this machine.
_ENTER = """
root=$1 from=$2 at=$3 hosts=$4
shift 4
mount -t tmpfs none "$root"
for path in /*; do
  if [ -L "$path" ]; then cp -P "$path" "$root$path"
  elif [ -d "$path" ]; then mkdir "$root$path"; mount --rbind "$path" "$root$path"
  fi
done
mkdir -p "$root$at"
mount --bind "$from" "$root$at"
mount --bind "$hosts" "$root/etc/hosts"
exec chroot "$root" "$@"
"""


@cache
def _unshare() -> list[str]:
    return ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]


@cache
def missing() -> str | None:
    """Why there can be no such place on this machine, or None."""
    try:
        subprocess.run([*_unshare(), "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no mount namespace ({error})"
    return None


@dataclass(frozen=True)
class Place:
    """A folder for it, and what is different there."""

    folder: Path
    files: Mapping[str, bytes]
    """The Secret's contents, by key."""
    at: str
    """Where the Secret is mounted."""
    hosts: Mapping[str, str]
    """Addresses, by name."""

    def command(self, *words: str | Path) -> list[str]:
        """How to run a program there."""
        mounted, table, root = self.folder / "secret", self.folder / "hosts", self.folder / "root"
        for made in (mounted, root):
            made.mkdir(parents=True, exist_ok=True)
        for key, value in self.files.items():
            (mounted / key).write_bytes(value)
        table.write_text("".join(f"{address} {name}\n" for name, address in self.hosts.items()))
        entered = ["sh", "-eu", "-c", _ENTER, "sh", str(root), str(mounted), self.at, str(table)]
        return [*_unshare(), *entered, *map(str, words)]

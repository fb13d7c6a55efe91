"""An OCI runtime: runc, told not to ask for capabilities that this machine's root does not have.

`docker run --privileged` asks for every capability there is, and runc fails with "unable to apply caps" when
one is outside the bounding set. So take it out of the container's configuration first. Without
CAP_SYS_RESOURCE no limit can be raised either: then the limits go too.
"""

import json
import os
import sys
from pathlib import Path

NAMES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]


def missing() -> set[str]:
    """Names of the capabilities outside this process's bounding set."""
    status = Path("/proc/self/status").read_text()
    bounding = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd:"))
    return {f"CAP_{name}" for number, name in enumerate(NAMES) if not bounding >> number & 1}


def rewrite(path: Path) -> None:
    """Take what we lack out of a container's config.json or of an exec's process file."""
    document = json.loads(path.read_text())
    process = document.get("process", document)
    lacking = missing()
    for kind, names in (process.get("capabilities") or {}).items():
        process["capabilities"][kind] = [name for name in names or [] if name not in lacking]
    if "CAP_SYS_RESOURCE" in lacking:
        process.pop("rlimits", None)
    path.write_text(json.dumps(document))


def main(arguments: list[str]) -> None:
    """Rewrite what the arguments point at, then become runc."""
    for position, word in enumerate(arguments):
        option, _, value = word.partition("=")
        value = value or (arguments[position + 1] if position + 1 < len(arguments) else "")
        if option in ("--bundle", "-b"):
            path = Path(value) / "config.json"
        elif option in ("--process", "-p"):
            path = Path(value)
        else:
            continue
        if path.is_file():
            rewrite(path)
    os.execvp("runc", ["runc", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])

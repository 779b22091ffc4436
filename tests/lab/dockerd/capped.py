#!/usr/bin/env -S python3 -I
"""Stands in for runc where root lacks a capability, with a Docker before 23.

That one asks for every capability that the kernel knows when a container is privileged, and runc
fails at the first that it may not give. What cannot be given here is struck from the request, and
then this becomes runc. Where root has all of them, nothing is struck.

https://github.com/moby/moby/pull/42933 (Docker 23 asks for what there is)
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

RUNC = shutil.which("runc", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin") or "runc"

# Their numbers: include/uapi/linux/capability.h
NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE"
    " NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO"
    " SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME"
    " SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG"
    " WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)


def missing(status: str) -> set[str]:
    """Return what no process here can ever hold, by the bounding set in /proc/self/status."""
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
    held = int(found[1], 16) if found else -1
    return {f"CAP_{name}" for number, name in enumerate(NAMES.split()) if not held & (1 << number)}


def requested(arguments: list[str]) -> Path | None:
    """Return the file in which a call of runc carries capabilities, if it does."""
    folder = _value(arguments, "--bundle", "-b") or "."
    process = _value(arguments, "--process", "-p")
    verb = next((word for word in arguments if word in {"create", "run", "exec"}), "")
    if verb in {"create", "run"}:
        return Path(folder, "config.json")
    return Path(process) if verb == "exec" and process else None


def _value(arguments: list[str], *names: str) -> str:
    for position, word in enumerate(arguments):
        name, joined, value = word.partition("=")
        if name in names:
            return value if joined else "".join(arguments[position + 1 : position + 2])
    return ""


def without(document: dict[str, Any], unavailable: set[str]) -> dict[str, Any]:
    """Return a container's configuration, or a process's, without these capabilities."""
    if "process" in document:
        return {**document, "process": without(document["process"], unavailable)}
    sets = document.get("capabilities") or {}
    kept = {name: [one for one in held if one not in unavailable] for name, held in sets.items()}
    return {**document, "capabilities": kept}


def main() -> None:
    unavailable = missing(Path("/proc/self/status").read_text())
    file = requested(sys.argv[1:])
    if unavailable and file is not None:
        part = file.with_name(f"{file.name}.capped")
        part.write_text(json.dumps(without(json.loads(file.read_text()), unavailable)))
        part.chmod(file.stat().st_mode & 0o777)
        part.replace(file)
    os.execv(RUNC, [RUNC, *sys.argv[1:]])  # noqa: S606 - that is the purpose


if __name__ == "__main__":
    main()

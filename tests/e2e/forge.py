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
from .installer import Installer

HOST = "github.git.svc"
CLONE_URL = f"https://{HOST}/{forge.SLUG}.git"
_PORT = 8443
_PEM = serialization.Encoding.PEM
_KEY = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
_SCRIPTS = ("forge.py", "apps.py")
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
        return dump_yaml(
            {
                "github": {"organization": "acme"},
                "agents": agents,
                "components": {"controller": {"values": values}},
            }
        )

    def start(self, installer: Installer) -> None:
        """Start it, and give each agent the key of its App."""
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
        serve(installer, "github", [*made, *apps])

    def pulls(self, installer: Installer) -> list[dict[str, Any]]:
        """Return the pull requests that were opened, with the time of each."""
        cat = ("exec", "-n", "git", "github", "--", "cat", "/srv/data/pulls.json")
        return [json.loads(line) for line in installer.kubectl(*cat).splitlines()]

"""Which kubelets get a certificate: those of our nodes, for their own names and addresses."""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cto.adapters.docker.container import DockerContainer
from cto.adapters.kind.certificates import certify
from fakes.cluster import FakeCluster
from fakes.docker import FakeDocker

KEY = ec.generate_private_key(ec.SECP256R1())
ADDRESS = "172.18.0.2"


def pem(
    user: str = "system:node:n",
    group: str = "system:nodes",
    names: tuple[str, ...] = ("n",),
    ips: tuple[str, ...] = (ADDRESS,),
    other: tuple[x509.GeneralName, ...] = (),
) -> str:
    subject = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, group),
        x509.NameAttribute(NameOID.COMMON_NAME, user),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    asked = [
        *map(x509.DNSName, names),
        *(x509.IPAddress(ipaddress.ip_address(one)) for one in ips),
        *other,
    ]
    if asked:
        builder = builder.add_extension(x509.SubjectAlternativeName(asked), critical=False)
    made = builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return b64encode(made).decode()


def request(status: Any = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "csr-1"},
        "spec": {
            "signerName": "kubernetes.io/kubelet-serving",
            "username": "system:node:n",
            "groups": ["system:nodes", "system:authenticated"],
            "usages": ["digital signature", "server auth"],
            "request": pem(),
            **spec,
        },
        "status": status or {},
    }


def approved(asked: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return what is run on the control plane for this request."""
    docker = FakeDocker()
    node = docker.add(DockerContainer(id="", name="n", networks={"kind": ADDRESS}))
    certify(FakeCluster([asked]), docker, node.id, [node])
    return [argv for _, argv, _ in docker.executed]


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request(usages=["digital signature", "key encipherment", "server auth"]),
        request(request=pem(names=())),
    ],
)
def test_its_own_name_and_addresses_are_certified(asked: dict[str, Any]) -> None:
    (argv,) = approved(asked)
    assert argv[-3:] == ("certificate", "approve", "csr-1")


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request({"conditions": [{"type": "Denied"}]}), id="decided"),
        pytest.param(request(signerName="kubernetes.io/kube-apiserver-client"), id="signer"),
        pytest.param(request(username="system:serviceaccount:cto:a"), id="no-node"),
        pytest.param(
            request(username="system:node:m", request=pem("system:node:m")), id="not-our-node"
        ),
        pytest.param(request(groups=["system:authenticated"]), id="group"),
        pytest.param(request(usages=["server auth", "client auth"]), id="usages"),
        pytest.param(request(usages=["digital signature"]), id="no-server"),
        pytest.param(request(request=pem("system:node:m")), id="another-subject"),
        pytest.param(request(request=pem(group="system:masters")), id="another-group"),
        pytest.param(request(request=pem(names=("n", "kubernetes"))), id="another-name"),
        pytest.param(request(request=pem(ips=(ADDRESS, "10.96.0.1"))), id="another-address"),
        pytest.param(request(request=pem(other=(x509.RFC822Name("a@b"),))), id="mail"),
        pytest.param(request(request=pem(names=(), ips=())), id="nothing"),
        pytest.param(request(request=b64encode(b"no PEM").decode()), id="no-request"),
    ],
)
def test_nobody_else_and_nothing_else_is(asked: dict[str, Any]) -> None:
    assert approved(asked) == []

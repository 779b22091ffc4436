"""Certificates of kubelets, which nobody approves by himself: so metrics are read from no stranger.

https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Collection, Mapping, Sequence

from cto.adapters.docker import DockerContainer, Engine
from cto.objects import Manifest
from cto.ports import Cluster

# Run on the control plane, with names behind it.
_APPROVE = ("kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "certificate", "approve")
_SIGNER = "kubernetes.io/kubelet-serving"
_USER = "system:node:"
_GROUP = "system:nodes"
_USAGES = {"digital signature", "key encipherment", "server auth"}


def certify(cluster: Cluster, engine: Engine, plane: str, nodes: Sequence[DockerContainer]) -> None:
    """Approve what the kubelets of these nodes ask for, each for its own name and addresses."""
    addresses = {node.name: {*node.networks.values()} for node in nodes}
    requests = cluster.list("certificates.k8s.io/v1", "CertificateSigningRequest")
    names = [one["metadata"]["name"] for one in requests if _is_due(one, addresses)]
    if names:
        engine.execute(plane, (*_APPROVE, *names), check=False)


def _is_due(request: Manifest, addresses: Mapping[str, Collection[str]]) -> bool:
    spec, status = request["spec"], request.get("status") or {}
    user = str(spec.get("username", ""))
    node = user.removeprefix(_USER)
    return (
        spec["signerName"] == _SIGNER
        and not status.get("conditions")
        and user.startswith(_USER)
        and node in addresses
        and _GROUP in (spec.get("groups") or ())
        and "server auth" in spec["usages"]
        and set(spec["usages"]) <= _USAGES
        and _names_only(str(spec["request"]), node, addresses[node])
    )


def _names_only(encoded: str, node: str, addresses: Collection[str]) -> bool:
    """Tell whether the request is this node's, and for nothing but its name and addresses."""
    from cryptography import x509  # noqa: PLC0415 - slow to import, and most runs have none to read
    from cryptography.x509.oid import NameOID  # noqa: PLC0415 - as above

    try:
        made = x509.load_pem_x509_csr(b64decode(encoded))
        asked = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    subject = {attribute.oid: str(attribute.value) for attribute in made.subject}
    dns = set(asked.get_values_for_type(x509.DNSName))
    ips = {str(ip) for ip in asked.get_values_for_type(x509.IPAddress)}
    return (
        made.is_signature_valid
        and subject == {NameOID.COMMON_NAME: f"{_USER}{node}", NameOID.ORGANIZATION_NAME: _GROUP}
        and len(made.subject) == len(subject)
        and len(dns) + len(ips) == len(asked)
        and dns <= {node}
        and ips <= set(addresses)
    )

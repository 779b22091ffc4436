"""Kubeconfigs that Go's programs refuse, and some that only look like it.

What kubectl itself says of each is asked in tests/contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]

SECRET = "c2VjcmV0LXRva2Vu"
V1 = "client.authentication.k8s.io/v1"
EXEC = {"command": "aws", "apiVersion": V1, "interactiveMode": "Never"}

# Of nobody, until the year 2100.
_JWT = "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln"
OIDC = {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "me", "id-token": _JWT}


def document(**changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://c"}}],
        "users": [{"name": "u", "user": {"token": SECRET}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
        **changes,
    }


def cluster(**fields: Any) -> dict[str, Any]:
    return document(clusters=[{"name": "c", "cluster": {"server": "https://c", **fields}}])


def user(**fields: Any) -> dict[str, Any]:
    return document(users=[{"name": "u", "user": fields}])


# What Go cannot read; each was seen to be refused by kubectl, see tests/contract.
UNREADABLE: Mapping[str, tuple[Document, str]] = {
    "a user twice": (
        document(users=[{"name": "u", "user": {"token": SECRET}}] * 2),
        "users: the name 'u' is there 2 times",
    ),
    "a cluster twice": (
        document(clusters=[{"name": "c", "cluster": {"server": "a"}}] * 2),
        "clusters: the name 'c' is there 2 times",
    ),
    "a context twice": (
        document(contexts=[{"name": "x", "context": {"cluster": "c", "user": "u"}}] * 3),
        "contexts: the name 'x' is there 3 times",
    ),
    "another entry twice": (
        document(users=[{"name": "u", "user": {}}, *[{"name": "other", "user": {}}] * 2]),
        "users: the name 'other' is there 2 times",
    ),
    "no name twice": (document(users=[{"user": {}}, None]), "users: the name '' is there 2 times"),
    "an extension twice": (
        cluster(extensions=[{"name": "e", "extension": 1}] * 2),
        "clusters[c].cluster.extensions: the name 'e' is there 2 times",
    ),
    "a token that is a number": (
        user(token=12345),
        "users[u].user.token is a number, and must be a text",
    ),
    "a token that is a truth value": (
        user(token=True),
        "users[u].user.token is true or false, and must be a text",
    ),
    "a name that is a number": (document(users=[{"name": 1}]), "users[0].name is a number"),
    "a namespace that is a truth value": (
        document(contexts=[{"name": "x", "context": {"namespace": True}}]),
        "contexts[x].context.namespace is true or false",
    ),
    "a flag that is a text": (
        cluster(**{"disable-compression": "true"}),
        "clusters[c].cluster.disable-compression is a text, and must be true or false",
    ),
    "data that is no base64": (
        user(**{"client-key-data": "c2VjcmV0LXRva2V"}),
        "users[u].user.client-key-data is no base64",
    ),
    "data with a space": (
        user(**{"client-key-data": "YW Jj"}),
        "users[u].user.client-key-data is no base64",
    ),
    "groups that are a text": (
        user(token="t", **{"as": "a", "as-groups": "admins"}),
        "users[u].user.as-groups is a text, and must be a list of texts",
    ),
    "a group that is a number": (
        user(token="t", **{"as": "a", "as-groups": ["a", 1]}),
        "users[u].user.as-groups[1] is a number",
    ),
    "more about a user that is no list": (
        user(token="t", **{"as": "a", "as-user-extra": {"scope": "x"}}),
        "users[u].user.as-user-extra[scope] is a text, and must be a list of texts",
    ),
    "more about a user in a list": (
        user(token="t", **{"as-user-extra": []}),
        "users[u].user.as-user-extra is a list",
    ),
    "a provider's number": (
        user(**{"auth-provider": {"name": "oidc", "config": {"port": 1}}}),
        "users[u].user.auth-provider.config[port] is a number",
    ),
    "arguments that are a text": (
        user(exec={**EXEC, "args": "a b"}),
        "users[u].user.exec.args is a text",
    ),
    "a variable that is a number": (
        user(exec={**EXEC, "env": [{"name": "A", "value": 1}]}),
        "users[u].user.exec.env[A].value is a number",
    ),
    "a variable that is a text": (user(exec={**EXEC, "env": ["A=1"]}), "exec.env[0] is a text"),
    "a section that is a mapping": (document(users={"u": {}}), "users is a mapping"),
    "an entry that is a text": (document(users=["u"]), "users[0] is a text"),
    "a user that is a list": (document(users=[{"name": "u", "user": []}]), "users[u].user is a"),
    "another kind": (document(kind="Secret"), "kind is not Config"),
    "another version": (document(apiVersion="v2"), "apiVersion is not v1"),
}

READABLE: Mapping[str, Document] = {
    "nulls": document(users=[{"name": "u", "user": None}], preferences=None, extensions=None),
    "one entry without a name": document(
        users=[{"name": "u", "user": {"token": "t"}}, {"user": {}}]
    ),
    "unknown fields": user(token="t", Token=1, nobody={"knows": 1}),
    "wrapped data": user(token="t", **{"client-key-data": "YW\nJj\r\n"}),
    "an extension of any kind": document(extensions=[{"name": "e", "extension": [1, True]}]),
}

# What Go reads, and client-go then refuses, or we do.
UNUSABLE: Mapping[str, tuple[Document, str]] = {
    "no server": (document(clusters=[{"name": "c", "cluster": {}}]), "server is missing"),
    "a server without a scheme": (cluster(server="c:6443"), "server must begin with https://"),
    "a server's path alone": (cluster(server="/c"), "server must begin with https://"),
    "a server of another kind": (cluster(server="ftp://c"), "server must begin with https://"),
    "a server without a host": (cluster(server="https://"), "server must be https://HOST"),
    "a server's port alone": (cluster(server="https://:6443"), "server must be https://HOST"),
    "a port that is none": (cluster(server="https://c:99999"), "server must be https://HOST"),
    "half an address": (cluster(server="https://[::1"), "server must be https://HOST"),
    "a space before a server": (cluster(server=" https://c"), "server must begin with https://"),
    "a tab behind a server": (cluster(server="https://c\t"), "server must be https://HOST"),
    "a log-in in a server": (cluster(server=f"https://me:{SECRET}@c"), "server holds a log-in"),
    "a query in a server": (cluster(server=f"https://c?token={SECRET}"), "server must not go on"),
    "a fragment in a server": (cluster(server="https://c#x"), "server must not go on"),
    "a line end in a token": (user(token=f"{SECRET}\n"), "token has a line end"),
    "a header in a token": (user(token=f"{SECRET}\r\nX: y"), "token has a line end"),
    "no verification": (
        cluster(**{"insecure-skip-tls-verify": True}),
        "cluster 'c': insecure-skip-tls-verify: switches TLS verification off",
    ),
    "an authority twice": (
        cluster(**{"certificate-authority": "a", "certificate-authority-data": "YWJj"}),
        "certificate-authority and certificate-authority-data are both there",
    ),
    "a proxy without a scheme": (cluster(**{"proxy-url": "proxy:3128"}), "proxy-url has the"),
    "a proxy of another kind": (cluster(**{"proxy-url": "ftp://proxy"}), "the scheme 'ftp'"),
    "a certificate twice": (
        user(**{"client-certificate": "a", "client-certificate-data": "YWJj", "client-key": "k"}),
        "client-certificate and client-certificate-data are both there",
    ),
    "a key twice": (
        user(**{"client-certificate": "a", "client-key-data": "YWJj", "client-key": "k"}),
        "client-key and client-key-data are both there",
    ),
    "no key": (user(**{"client-certificate": "a"}), "client-key is missing"),
    "a password beside a token": (
        user(token=SECRET, username="me", password=SECRET),
        "username and token are both there",
    ),
    "a password beside a token's file": (
        user(tokenFile="t", username="me", password=SECRET),
        "username and tokenFile are both there",
    ),
    "a password alone beside a token": (
        user(token=SECRET, password=SECRET),
        "password and token are both there",
    ),
    "a password beside a program": (
        user(exec=EXEC, username="me", password=SECRET),
        "username and exec are both there",
    ),
    "two programs": (
        user(exec=EXEC, **{"auth-provider": {"name": "oidc", "config": {"id-token": SECRET}}}),
        "exec and auth-provider are both there",
    ),
    "groups of nobody": (user(token=SECRET, **{"as-groups": ["a"]}), "as-groups says more about"),
    "an id of nobody": (user(token=SECRET, **{"as-uid": "1"}), "as-uid says more about"),
    "more of nobody": (
        user(token=SECRET, **{"as-user-extra": {"a": ["b"]}}),
        "as-user-extra says more about",
    ),
    "a header in a name": (
        user(token=SECRET, **{"as": "me\r\nAuthorization: x"}),
        "has a line end",
    ),
    "a header in a group": (
        user(token=SECRET, **{"as": "me", "as-groups": ["a\nb"]}),
        "has a line end",
    ),
    "a program without a name": (user(exec={**EXEC, "command": ""}), "exec.command is missing"),
    "no version": (user(exec={"command": "a"}), "exec.apiVersion is None"),
    "an old version": (
        user(exec={**EXEC, "apiVersion": "client.authentication.k8s.io/v1alpha1"}),
        "exec.apiVersion is 'client.authentication.k8s.io/v1alpha1'",
    ),
    "no mode": (user(exec={"command": "a", "apiVersion": V1}), "exec.interactiveMode is missing"),
    "another mode": (user(exec={**EXEC, "interactiveMode": "never"}), "interactiveMode is 'never'"),
    "a program that has to ask": (
        user(exec={**EXEC, "interactiveMode": "Always"}),
        "interactiveMode is Always: helm is run without a terminal",
    ),
    "a variable without a name": (
        user(exec={**EXEC, "env": [{"value": "1"}, None]}),
        "exec.env has a variable without a name",
    ),
    "a provider that is gone": (
        user(**{"auth-provider": {"name": "gcp", "config": {"access-token": SECRET}}}),
        "auth-provider 'gcp' is no longer known",
    ),
    "a provider without a token": (
        user(**{"auth-provider": {"name": "oidc", "config": {"refresh-token": SECRET}}}),
        "auth-provider oidc has no id-token",
    ),
}

USABLE: Mapping[str, Document] = {
    "a server in capitals": cluster(server="HTTPS://C.EXAMPLE:6443/"),
    "a server with a path": cluster(server="https://c/k8s/clusters/c-1"),
    "a server by its address": cluster(server="https://[fd00::1]:6443"),
    "somebody else": user(
        token="t", **{"as": "me", "as-groups": ["a"], "as-user-extra": {"a": []}}
    ),
    "a program": user(exec={**EXEC, "env": [{"name": "A", "value": ""}]}),
    "a program of before": user(
        exec={"command": "a", "apiVersion": "client.authentication.k8s.io/v1beta1"}
    ),
    "a password": user(username="me", password="p"),
    "an id token": user(**{"auth-provider": {"name": "oidc", "config": OIDC}}),
    "socks": cluster(**{"proxy-url": "socks5://127.0.0.1:1080"}),
    "verification said twice": cluster(**{"insecure-skip-tls-verify": False}),
}

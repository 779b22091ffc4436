"""In a pod: the cluster around it, by the pod's service account."""

from __future__ import annotations

import atexit
import gc
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cto.adapters.kubernetes.incluster import CONTEXT, Pod
from cto.adapters.kubernetes.kubeconfig import choose_access, read
from cto.adapters.kubernetes.login import plain_login
from cto.objects import dump_yaml, load_yaml

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """Return a folder as Kubernetes mounts it."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    for name, text in {"token": "first", "ca.crt": "no PEM", "namespace": "here"}.items():
        (folder / name).write_text(text)
    return folder


def test_the_pods_files_are_named_and_not_copied(account: Path) -> None:
    """The token is replaced while a long run goes on."""
    pod = Pod(POD, account)
    access = pod.access()

    assert choose_access([access.kubeconfig]) == access
    document = read(access.kubeconfig)
    assert document["clusters"][0]["cluster"] == {
        "server": "https://10.0.0.1:443",
        "certificate-authority": str(account / "ca.crt"),
    }
    assert document["users"][0]["user"] == {"tokenFile": str(account / "token")}
    assert document["current-context"] == access.context == CONTEXT
    assert stat.S_IMODE(access.kubeconfig.parent.stat().st_mode) == 0o700


def test_the_token_is_read_again(account: Path) -> None:
    pod = Pod({**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}, account)
    file = pod.access().kubeconfig
    assert "https://[fd00::1]:443" in file.read_text()
    document = load_yaml(file.read_text())
    # What it holds is no certificate.
    del document["clusters"][0]["cluster"]["certificate-authority"]
    file.write_text(dump_yaml(document))
    login = plain_login(pod.access(), {})
    assert login is not None
    for token in ("first", "second"):
        (account / "token").write_text(f"{token}\n")
        assert list(login.identity.headers()) == [("Authorization", f"Bearer {token}")]


def test_it_is_written_once_and_stays_as_long_as_somebody_may_read_it(account: Path) -> None:
    """Whoever has the access need not keep what made it."""
    pod = Pod(POD, account)
    file = pod.access().kubeconfig
    assert pod.access().kubeconfig == file
    del pod
    gc.collect()
    assert file.exists()


def test_it_goes_with_the_process(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", lambda end, *args: at_exit.append(partial(end, *args)))
    file = Pod(POD, account).access().kubeconfig
    assert file.exists()
    (end,) = at_exit
    end()
    assert not file.parent.exists()


@pytest.mark.parametrize("missing", ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "token"])
def test_what_is_no_pod_or_has_no_account_is_none(account: Path, missing: str) -> None:
    assert Pod(POD, account).is_one
    (account / "token").rename(account / "token" if missing != "token" else account / "old")
    env = {key: value for key, value in POD.items() if key != missing}
    assert not Pod(env, account).is_one

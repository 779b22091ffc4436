"""The console script."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pytest

from cto.__main__ import main


@pytest.fixture(autouse=True)
def hangup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_leaves_with_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/cto", "explain", "1299"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert "There is no error code '1299'." in capsys.readouterr().err

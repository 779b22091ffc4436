"""The console script."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator

import pytest

from cto.__main__ import main


@pytest.fixture(autouse=True)
def hangup() -> Iterator[None]:
    before, collected_after = signal.getsignal(signal.SIGHUP), gc.get_threshold()
    yield
    signal.signal(signal.SIGHUP, before)
    gc.set_threshold(*collected_after)


def test_leaves_with_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/cto", "explain", "1299"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    # Cycles are looked for all the same, after more than what one large answer is made of.
    assert gc.isenabled()
    assert gc.get_threshold()[0] >= 100_000
    assert "There is no error code '1299'." in capsys.readouterr().err

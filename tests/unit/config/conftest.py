"""What tests of the configuration share."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit.config.loading import Loader


@pytest.fixture
def loading(tmp_path: Path) -> Loader:
    return Loader(tmp_path)

"""What tests of the configuration share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from unit.config.loading import Loader

# A busy machine is no reason to fail: the suite has a time limit of its own.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


@pytest.fixture
def loading(tmp_path: Path) -> Loader:
    return Loader(tmp_path)

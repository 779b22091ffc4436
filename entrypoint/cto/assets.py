"""Finds the data that ships with the packages: bundle/, templates/, profiles/."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent.parent


def root() -> Path:
    """Return the folder that holds `bundle`, `templates` and `profiles`.

    In a wheel it is `_assets` beside this file. A checkout comes first: an editable install may
    leave an old copy of `_assets` in site-packages.
    """
    if (_CHECKOUT / "bundle" / "components").is_dir():
        return _CHECKOUT
    return _PACKAGE / "_assets"

"""Finds the data that ships with the packages: bundle/, templates/, profiles/."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def root(package: Path = _PACKAGE) -> Path:
    """Return the folder that holds `bundle`, `templates` and `profiles`.

    In a wheel it is `_assets` beside this file. A checkout comes first: an editable install may
    leave an old copy of `_assets` in site-packages.
    """
    checkout = package.parent.parent
    if (checkout / "bundle" / "components").is_dir():
        return checkout
    return package / "_assets"

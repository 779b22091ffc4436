"""Where the data is: in a checkout, or inside an installed package."""

from __future__ import annotations

from pathlib import Path

from cto import assets


def test_a_checkout_comes_before_an_old_copy_in_the_package(tmp_path: Path) -> None:
    package = tmp_path / "entrypoint" / "cto"
    (package / "_assets").mkdir(parents=True)
    (tmp_path / "bundle" / "components").mkdir(parents=True)
    assert assets.root(package) == tmp_path


def test_an_installed_package_has_its_own(tmp_path: Path) -> None:
    assert assets.root(tmp_path / "site-packages" / "cto") == (
        tmp_path / "site-packages" / "cto" / "_assets"
    )


def test_here_it_holds_all_three_folders() -> None:
    assert {"bundle", "profiles", "templates"} <= {path.name for path in assets.root().iterdir()}

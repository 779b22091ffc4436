"""What containerd is told about where images are."""

from __future__ import annotations

import tomllib

import pytest

from cto.adapters.kind import mirrors

NEW, OLD = "cto-registry-0123456789ab", "cto-registry-ba9876543210"
SETTINGS = {"capabilities": ["pull", "resolve"], "override_path": True}


def test_air_gapped_the_registry_is_the_only_one_that_is_asked() -> None:
    found = mirrors.files(["docker.io", "quay.io"], [NEW], network="kind", air_gapped=True)
    assert found.keys() == {"docker.io", "quay.io", "_default"}
    parsed = tomllib.loads(found["quay.io"])
    assert parsed == {"server": f"http://{NEW}.kind:5000/v2/quay.io", **SETTINGS}


def test_air_gapped_other_hosts_end_where_nothing_is() -> None:
    found = mirrors.files(["docker.io"], [NEW, OLD], network="kind", air_gapped=True)
    parsed = tomllib.loads(found["_default"])
    assert parsed == {"server": f"http://{NEW}.kind:5000/v2/not-in-the-bundle", **SETTINGS}


def test_the_bundle_before_is_asked_second() -> None:
    parsed = tomllib.loads(
        mirrors.files(["docker.io"], [NEW, OLD], network="kind", air_gapped=True)["docker.io"]
    )
    assert parsed == {
        "server": f"http://{OLD}.kind:5000/v2/docker.io",
        **SETTINGS,
        "host": {f"http://{NEW}.kind:5000/v2/docker.io": SETTINGS},
    }


def test_not_air_gapped_upstream_is_the_last_resort() -> None:
    """A file without `server` means: and then the host itself."""
    found = mirrors.files(["docker.io"], [NEW, OLD], network="kind", air_gapped=False)
    assert found.keys() == {"docker.io"}
    parsed = tomllib.loads(found["docker.io"])
    assert parsed == {
        "host": {
            f"http://{NEW}.kind:5000/v2/docker.io": SETTINGS,
            f"http://{OLD}.kind:5000/v2/docker.io": SETTINGS,
        }
    }
    assert next(iter(parsed["host"])).startswith(f"http://{NEW}")


def test_a_port_is_part_of_the_folder_and_not_of_the_path() -> None:
    found = mirrors.files(["Registry.local:5000"], [NEW], network="kind", air_gapped=True)
    parsed = tomllib.loads(found["Registry.local:5000"])
    assert parsed["server"] == f"http://{NEW}.kind:5000/v2/registry.local-5000"


@pytest.mark.parametrize("host", ["a b", "x'; rm -rf /; '", "../..", "a/b", ""])
def test_what_is_no_host_gets_no_file(host: str) -> None:
    found = mirrors.files([host], [NEW], network="kind", air_gapped=True)
    assert found.keys() == {"_default"}


@pytest.mark.parametrize("air_gapped", [True, False])
def test_what_was_written_tells_the_registries_in_their_order(*, air_gapped: bool) -> None:
    found = mirrors.files(
        ["docker.io", "quay.io"], [NEW, OLD], network="kind", air_gapped=air_gapped
    )
    assert mirrors.registries("\n".join(found.values())) == (NEW, OLD)
    assert mirrors.registries("") == ()
    assert mirrors.registries('server = "https://registry-1.docker.io"') == ()

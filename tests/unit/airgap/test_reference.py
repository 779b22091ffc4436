"""Names of images."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto_airgap.oci import digest_of
from cto_airgap.reference import InvalidReferenceError, Reference, normalise, parse_reference

SUM = f"sha256:{'0' * 64}"

label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
hosts = st.one_of(
    st.builds("{}.{}".format, label, label),
    st.builds("{}:{}".format, label, st.integers(1, 65535)),
    st.sampled_from(["localhost", "[::1]:5000", "docker.io", "ecr-public.aws.com"]),
)
part = st.from_regex(r"[a-z0-9]+((\.|_|__|-{1,3})[a-z0-9]+){0,2}", fullmatch=True)
repositories = st.lists(part, min_size=2, max_size=4).map("/".join)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
sums = st.binary(max_size=4).map(digest_of)


@given(hosts, repositories, tags, st.one_of(st.just(""), sums))
def test_what_is_written_is_read_again(host: str, repository: str, tag: str, digest: str) -> None:
    reference = Reference(host, repository, tag, digest)  # type: ignore[arg-type] # as it is
    assert parse_reference(str(reference)) == reference


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_an_error(text: str) -> None:
    try:
        found = parse_reference(text)
    except InvalidReferenceError:
        return
    assert parse_reference(str(found)) == found


@given(st.text(alphabet="ab.:/@_-A1", max_size=40))
def test_normalising_twice_changes_nothing(text: str) -> None:
    try:
        once = normalise(text)
    except InvalidReferenceError:
        return
    assert normalise(once) == once


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.38.0", "docker.io/library/busybox:1.38.0"),
        ("docker.io/traefik:v3.7.11", "docker.io/library/traefik:v3.7.11"),
        ("index.docker.io/nats", "docker.io/library/nats:latest"),
        ("registry-1.docker.io/library/nats", "docker.io/library/nats:latest"),
        ("grafana/grafana:13.2.0", "docker.io/grafana/grafana:13.2.0"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x:1", "localhost:5000/x:1"),
        ("UPPER/x", "UPPER/x:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest"),
        (
            "ecr-public.aws.com/docker/library/redis:8.2.3-alpine",
            "ecr-public.aws.com/docker/library/redis:8.2.3-alpine",
        ),
        (f"quay.io/a/b@{SUM}", f"quay.io/a/b@{SUM}"),
        (f"quay.io/a/b:1@{SUM}", f"quay.io/a/b:1@{SUM}"),
    ],
)
def test_short_names_mean_what_they_mean_to_docker(text: str, full: str) -> None:
    assert normalise(text) == full


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "x:",
        "x@",
        "x@sha256:12",
        "x@md5:0",
        "Quay",
        "quay.io/",
        "quay.io/UPPER",
        "quay.io//x",
        "-host.io/x",
        "quay.io/x:-tag",
        "quay.io/x y",
        f"quay.io/{'x' * 250}",
        f"quay.io/x@{SUM}@{SUM}",
        "https://quay.io/x",
        "quay.io/x\n",
    ],
)
def test_what_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(InvalidReferenceError, match="not a reference of an image"):
        parse_reference(text)


def test_a_digest_is_asked_for_before_a_tag() -> None:
    found = parse_reference(f"quay.io/a/b:1@{SUM}")
    assert (found.wanted, found.name) == (SUM, "quay.io/a/b")
    assert parse_reference("quay.io/a/b:1").wanted == "1"


def test_dockers_own_images_have_many_names() -> None:
    nats = parse_reference("nats:2.1")
    assert {normalise(text) for text in nats.spellings} == {str(nats)}
    assert {"nats:2.1", "docker.io/nats:2.1", "index.docker.io/library/nats:2.1"} <= set(
        nats.spellings
    )
    assert len(nats.spellings) == 8
    assert len(parse_reference("team/x:1").spellings) == 4
    assert parse_reference("quay.io/x:1").spellings == ("quay.io/x:1",)

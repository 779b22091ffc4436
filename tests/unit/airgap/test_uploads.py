"""What a client of registries does when it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cto.errors import ToolError
from cto_airgap.oci import digest_of, read_document
from cto_airgap.reference import parse_reference
from cto_airgap.web import TransportError
from fakes import images
from fakes.depot import described
from fakes.registry import FakeAnswer, FakeRegistry, Scripted
from fakes.trouble import Trouble
from unit.airgap.world import HOST, Client

X = parse_reference(f"{HOST}/x:1")
BIG = images.noise((1 << 20) + 50_000, 3)


def sent(fake: FakeRegistry, data: bytes, folder: Path) -> None:
    (folder / "blob").write_bytes(data)
    wanted = described(digest_of(data), data)
    Client(fake).uploader.blob(X, wanted, folder / "blob")
    assert wanted.digest in fake.blobs("x")


def test_an_upload_goes_on_where_it_broke(tmp_path: Path) -> None:
    fake = FakeRegistry(f"https://{HOST}")
    fake.troubles.add(Trouble("PATCH", "/uploads/", cut=400_000))
    fake.troubles.add(Trouble("PATCH", "/uploads/", cut=500_000))
    sent(fake, BIG, tmp_path)
    spans = [one.headers.get("Content-Range") for one in fake.requests("PATCH", "/uploads/")]
    assert spans == [f"900000-{len(BIG) - 1}"]
    assert len(fake.requests("POST", "/uploads/")) == 1


def test_an_upload_whose_answer_was_lost_is_not_sent_again(tmp_path: Path) -> None:
    fake = FakeRegistry(f"https://{HOST}")
    fake.troubles.add(Trouble("PATCH", "/uploads/", cut=len(BIG)))
    sent(fake, BIG, tmp_path)
    assert fake.requests("PATCH", "/uploads/") == []


def test_an_upload_that_is_lost_is_begun_again(tmp_path: Path) -> None:
    fake = FakeRegistry(f"https://{HOST}", resumes=False)
    fake.troubles.add(Trouble("PATCH", "/uploads/", cut=400_000))
    fake.troubles.add(Trouble("PUT", "/uploads/", status=404))
    fake.troubles.add(Trouble("PUT", "/uploads/", status=503))
    sent(fake, BIG, tmp_path)
    assert len(fake.requests("POST", "/uploads/")) == 4


@pytest.mark.parametrize("size", [10, len(BIG)])
def test_an_upload_that_never_works_is_given_up(tmp_path: Path, size: int) -> None:
    fake = FakeRegistry(f"https://{HOST}", resumes=False)
    method = "PUT" if size == 10 else "PATCH"
    fake.troubles.add(*(Trouble(method, "/uploads/") for _ in range(5)))
    with pytest.raises(ToolError) as caught:
        sent(fake, BIG[:size], tmp_path)
    assert caught.value.code == "CTO-1510"


def test_a_registry_that_refuses_an_upload_is_quoted(tmp_path: Path) -> None:
    fake = FakeRegistry(f"https://{HOST}")
    fake.troubles.add(Trouble("POST", "/uploads/", status=405))
    with pytest.raises(ToolError) as caught:
        sent(fake, b"x", tmp_path)
    assert (caught.value.code, "405" in caught.value.details) == ("CTO-1514", True)
    fake.troubles.add(Trouble("PUT", "/uploads/", status=413))
    with pytest.raises(ToolError, match="refused a request"):
        sent(fake, b"x", tmp_path)


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ((TransportError("gone", again=False),), "CTO-1510"),
        ((FakeAnswer(202),), "CTO-1514"),
    ],
)
def test_an_upload_that_cannot_begin_is_an_error(
    tmp_path: Path, answers: tuple[Any, ...], code: str
) -> None:
    (tmp_path / "blob").write_bytes(b"x")
    wanted = described(digest_of(b"x"), b"x")
    with pytest.raises(ToolError) as caught:
        Client(Scripted(*answers)).uploader.blob(X, wanted, tmp_path / "blob")
    assert caught.value.code == code


def test_an_address_that_forgot_tls_is_put_right(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"x")
    place = FakeAnswer(202, b"", {"Location": f"http://{HOST}/v2/x/blobs/uploads/1"})
    transport = Scripted(place, FakeAnswer(201))
    wanted = described(digest_of(b"x"), b"x")
    Client(transport).uploader.blob(X, wanted, tmp_path / "blob")
    url = f"https://{HOST}/v2/x/blobs/uploads/1?digest={wanted.digest}"
    assert transport.seen[1].url == url


def test_a_manifest_that_is_stored_otherwise_is_noticed() -> None:
    made = images.image()
    found = read_document(made.documents[made.root][1])
    stored = {"Docker-Content-Digest": digest_of(b"other")}
    with pytest.raises(ToolError, match="something that is not"):
        Client(Scripted(FakeAnswer(201, b"", stored))).uploader.manifest(X, found)
    gone = TransportError("gone", again=False)
    with pytest.raises(ToolError, match="cannot be reached"):
        Client(Scripted(gone)).uploader.manifest(X, found)
    broken = FakeAnswer(400, b"x" * 50)
    broken.cut = 10
    with pytest.raises(ToolError, match="refused a request"):
        Client(Scripted(broken)).uploader.manifest(X, found)

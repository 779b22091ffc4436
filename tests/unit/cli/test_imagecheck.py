"""The preflight check of the registry: all that is missing, or why it cannot be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event as Flag
from typing import Any

from cto.cli.relocating import Relocations, checks
from cto.config.sections import Registry
from cto.result import Check, CheckStatus
from cto_airgap.logins import GivenLogins, RegistryLogin
from cto_airgap.oci import digest_of, parse_digest
from cto_airgap.reference import Reference
from cto_airgap.session import Session
from fakes import images
from fakes.clock import FakeClock
from fakes.registry import FakeRegistry, FakeWeb

HOST = "r.example.com"
ADDRESS = f"{HOST}/cto"


def reference(name: str, digest: str) -> Reference:
    return Reference(HOST, f"cto/{name}", "1", parse_digest(digest))


def asked(fake: FakeRegistry | None, *needed: Reference, **settings: Any) -> Check:
    web = FakeWeb(*([fake] if fake else []))

    @contextmanager
    def opened(logins: Mapping[str, RegistryLogin], stop: Flag) -> Iterator[Session]:
        yield Session(web, GivenLogins(logins), FakeClock(), stop)

    registry = Registry.model_validate({"type": "generic", "url": HOST, **settings})
    (found,) = checks(registry, settings.get("password", ""), Relocations(needed=needed), opened)
    return found


def test_everything_is_there() -> None:
    fake = FakeRegistry(f"https://{HOST}")
    one = fake.add("cto/one", images.image(text="one"), "1")
    two = fake.add("cto/two", images.image(text="two"))
    found = asked(fake, reference("one", one.root), reference("two", two.root))
    assert (found.status, found.message) == (CheckStatus.PASSED, "all 2 are there")


def test_all_that_are_missing_are_named_and_why() -> None:
    fake = FakeRegistry(f"https://{HOST}")
    one = fake.add("cto/one", images.image(text="one"), "1")
    wanted = digest_of(b"another platform, or another bundle")
    needed = [reference(name, wanted) for name in ("one", "two")]
    found = asked(fake, *needed)
    assert (found.status, found.code) == (CheckStatus.FAILED, "CTO-1440")
    assert found.message == "2 of 2 are missing"
    assert found.items == (f"{needed[0]}: the tag leads to {one.root}", f"{needed[1]}")
    assert f"cto bundle push DIR {ADDRESS} -o json > mapping.json" in found.fix


def test_the_configurations_log_in_is_used() -> None:
    fake = FakeRegistry(f"https://{HOST}", auth="token")
    one = reference("one", fake.add("cto/one", images.image(text="one"), "1").root)
    login = {"username": fake.user, "password": fake.password}
    assert asked(fake, one, **login).status is CheckStatus.PASSED
    found = asked(fake, one, username=fake.user, password="not it, hunter3")
    assert (found.status, found.code) == (CheckStatus.FAILED, "CTO-1441")
    assert "gives no token" in found.message
    assert "hunter3" not in str(found)
    found = asked(fake, one)
    assert found.code == "CTO-1441"
    assert found.fix.startswith("Give registry.username and registry.password. If only")


def test_a_registry_that_does_not_answer_is_told_with_the_way_round() -> None:
    found = asked(None, reference("one", digest_of(b"x")))
    assert (found.status, found.code) == (CheckStatus.FAILED, "CTO-1441")
    assert found.message.startswith(f"{HOST} cannot be reached: https://{HOST}: no such host")
    assert found.fix.endswith("registry.check: false")

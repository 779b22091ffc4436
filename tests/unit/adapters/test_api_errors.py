"""Which error an API server's answer becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cto.adapters.kubernetes import errors as api_errors


def status(message: str, reason: str = "", **details: Any) -> bytes:
    return json.dumps({"message": message, "reason": reason, "details": details}).encode()


FORBIDDEN = 'pods is forbidden: User "me" cannot list resource "pods" in API group ""'
PSA = 'pods "a" is forbidden: violates PodSecurity "restricted:latest": privileged'
QUOTA = 'pods "a" is forbidden: exceeded quota: small, requested: pods=1'
WEBHOOK = 'admission webhook "policy.example.com" denied the request: no latest tags'
POLICY = "pods is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"
MISFIT = "failed to create typed patch object (/a; apps/v1, Kind=Deployment): no such field"


@pytest.mark.parametrize(
    ("http_status", "message", "code"),
    [
        (401, "Unauthorized", "CTO-1602"),
        (403, FORBIDDEN, "CTO-1602"),
        (403, PSA, "CTO-1605"),
        (403, QUOTA, "CTO-1605"),
        (403, WEBHOOK, "CTO-1605"),
        (400, WEBHOOK, "CTO-1605"),
        (500, WEBHOOK, "CTO-1605"),
        (422, POLICY, "CTO-1605"),
        (422, "spec.replicas: Invalid value", "CTO-1605"),
        (413, "too large", "CTO-1605"),
        (500, MISFIT, "CTO-1605"),
        (404, "not found", "CTO-1603"),
        (405, "not allowed", "CTO-1603"),
        (409, "already exists", "CTO-1604"),
        (429, "too many requests", "CTO-1600"),
        (500, "etcdserver: request timed out", "CTO-1600"),
        (302, "elsewhere", "CTO-1600"),
    ],
)
def test_the_code_follows_from_status_and_message(
    http_status: int, message: str, code: str
) -> None:
    error = api_errors.refused("apply Pod a", http_status, status(message, "Why"))
    assert (error.code, error.status, error.reason) == (code, http_status, "Why")
    assert error.message == f"apply Pod a: {message}"
    assert error.details == f"HTTP status {http_status}"


def test_a_namespace_that_ends_has_a_reason_of_its_own() -> None:
    body = status("forbidden", "Forbidden", causes=[{"reason": "NamespaceTerminating"}])
    assert api_errors.refused("create a", 403, body).reason == "NamespaceTerminating"


def test_messages_are_cut() -> None:
    error = api_errors.refused("apply a", 422, status("x" * 10_000))
    assert len(error.message) == len("apply a: ") + 256
    assert error.message.endswith("xxx...")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "HTTP status 502"),
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
        (b"[1]", "[1]"),
        (b'{"details": []}', '{"details": []}'),
    ],
)
def test_answers_that_are_no_status_are_shown_as_they_are(body: bytes, text: str) -> None:
    assert api_errors.refused("ask", 502, body).message == f"ask: {text}"


def test_of_a_refused_secret_only_reason_and_fields_are_told() -> None:
    body = status(
        'Secret "a" is invalid: data: Invalid value: "hunter2"',
        "Invalid",
        causes=[{"field": "data[password]", "message": 'Invalid value: "hunter2"'}],
    )
    error = api_errors.refused("apply Secret a", 422, body, confidential=True)
    assert error.message == "apply Secret a: Invalid, data[password]"
    assert "hunter2" not in f"{error.message}{error.details}{error.hint}"
    nothing = api_errors.refused("apply Secret a", 500, b"hunter2", confidential=True)
    assert nothing.message == "apply Secret a: HTTP status 500"


def test_a_secret_that_policy_refuses_tells_the_policy() -> None:
    error = api_errors.refused("apply Secret a", 403, status(WEBHOOK), confidential=True)
    assert "policy.example.com" in error.message


def test_what_may_heal_is_told_from_what_may_not() -> None:
    assert api_errors.heals(503, b"")
    assert api_errors.heals(500, status("failed calling webhook"))
    assert not api_errors.heals(500, status(MISFIT))
    assert not api_errors.heals(422, b"")


def test_silence_names_who_was_asked() -> None:
    error = api_errors.no_answer("list pods", "context x", "y" * 1000)
    assert (error.code, error.message) == ("CTO-1601", "list pods: no answer from context x")
    assert len(error.details) == 256


def test_what_validation_refuses_is_told_field_by_field() -> None:
    long = f"Invalid value: {'x' * 1000}: field is immutable"
    causes = [{"field": "spec.selector", "message": long}, {"field": "roleRef", "message": "no"}]
    body = status("is invalid", "Invalid", causes=causes)
    first, second = api_errors.refused("apply a", 422, body).causes
    assert second == ("roleRef", "no")
    assert (first[0], len(first[1])) == ("spec.selector", 256)
    assert first[1].startswith("...xxx")
    assert first[1].endswith(": field is immutable")
    hidden = api_errors.refused("apply Secret a", 422, body, confidential=True).causes
    assert hidden == (("spec.selector", ""), ("roleRef", ""))

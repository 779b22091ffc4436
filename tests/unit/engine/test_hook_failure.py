"""A release that failed because of a hook is reported by what the hook said."""

from __future__ import annotations

from threading import Event as Flag

import pytest

from cto.engine.apply import PlanRunner
from cto.engine.verdict import Verdict, Wait
from cto.errors import ApiError, CtoError, ToolError, WaitError
from cto.events import Phase
from cto.plan.changes import Action
from cto.plan.steps import Plan, Step
from fakes.clock import FakeClock

STEP = Step(id="release:a", phase=Phase.CORE, title="Install A", action=Action.CREATE)
PLAN = Plan(command="install", context="c", provider="p", profile="minimal", steps=(STEP,))


class Hook:
    """Has seen a hook fail, or none."""

    def __init__(self, failed: CtoError | None) -> None:
        self._failed = failed

    def evaluate(self) -> Verdict:
        return Verdict(done=False, message="", failed=self._failed)


def failure(error: CtoError, hook: Wait | None) -> CtoError:
    """Return what a step is said to have failed of, when its worker raised an error."""

    def run(_step: Step, _cancel: Flag) -> str:
        raise error

    engine = PlanRunner(run=run, hook_of=lambda _: hook, clock=FakeClock(), listen=lambda _: None)
    (reported,) = engine.apply(PLAN).errors
    return reported


def test_the_hook_s_cause_is_told_and_what_helm_said_is_kept() -> None:
    helm = ToolError("CTO-1500", "helm ended with code 1", details="Error: failed pre-install")
    seen = WaitError("CTO-1704", "Job a: failed", details="too often")

    told = failure(helm, Hook(seen))

    assert (told.code, told.message) == ("CTO-1704", "Job a: failed")
    assert told.details == "too often\nError: failed pre-install"


@pytest.mark.parametrize("hook", [None, Hook(None)])
def test_helm_is_told_where_no_hook_failed(hook: Wait | None) -> None:
    helm = ToolError("CTO-1500", "helm ended with code 1")

    assert failure(helm, hook) is helm


def test_another_s_failure_is_not_the_hook_s() -> None:
    refused = ApiError("CTO-1600", "no")

    assert failure(refused, Hook(WaitError("CTO-1704", "Job a: failed"))) is refused

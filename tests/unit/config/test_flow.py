"""What starts agents: defaults out of a file, and differences from it."""

from __future__ import annotations

import pytest

from cto import assets, goyaml
from cto.config.model import Config
from unit.config.loading import Loader

_STEP = "github: {flow: {steps: {more: {event: %s, prompt: Look.%s}}}}"


def test_the_defaults_are_those_of_the_file() -> None:
    file = assets.root() / "templates" / "agents" / "flow.yaml"
    told = goyaml.load(file.read_text(encoding="utf-8"))
    flow = Config().public()["github"]["flow"]
    assert (flow["people"], flow["rounds"]) == (told["people"], told["rounds"])
    assert flow["steps"].keys() == told["steps"].keys()
    assert all(step.items() <= flow["steps"][name].items() for name, step in told["steps"].items())


def test_what_is_configured_are_differences(loading: Loader) -> None:
    config = loading("github: {flow: {rounds: 1, steps: {review: {start: tess}}}}").config
    flow = config.github.flow
    assert (flow.rounds, len(flow.people), len(flow.steps)) == (1, 3, 5)
    review, default = flow.steps["review"], Config().github.flow.steps["review"]
    assert (review.by, review.start, review.prompt) == ("rex", "tess", default.prompt)


def test_the_environment_can_switch_a_step_off(loading: Loader) -> None:
    config = loading("", env={"CTO_GITHUB__FLOW__STEPS__MEND__ENABLED": "false"}).config
    assert not config.github.flow.steps["mend"].enabled


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (_STEP % ("opened", ""), "github.flow.steps.more.by"),
        (_STEP % ("approved", ", by: rex"), "github.flow.steps.more.start"),
        (_STEP % ("labelled", ", start: rex"), "what happens names its agent"),
        (_STEP % ("opened", ", by: tess, start: tess"), "for ever: tess -> tess"),
        (_STEP % ("opened", ", by: tess, start: rex"), "agents would start each other for ever"),
        (_STEP % ("merged", ""), "github.flow.steps.more.event"),
        ("github: {flow: {rounds: 0}}", "github.flow.rounds"),
        ("github: {flow: {people: [NONE]}}", "github.flow.people"),
    ],
)
def test_a_flow_that_cannot_be_is_refused(loading: Loader, text: str, problem: str) -> None:
    assert problem in "\n".join(loading.lines(text))


def test_a_circle_may_be_there_if_it_is_switched_off(loading: Loader) -> None:
    text = _STEP % ("opened", ", by: tess, start: rex, enabled: false")
    assert loading(text).config.github.flow.steps["more"].start == "rex"

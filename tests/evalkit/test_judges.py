"""Which judge a run takes, and what it says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from evalkit.errors import EvalkitError
from evalkit.pipeline import judges
from evalkit.pipeline.judges import Choice, choose
from metrics import Column, MetricSpec, Passport
from metrics.options import Option


def metric(
    name: str,
    judge: Any,
    missing: str | None = None,
    options: Mapping[str, Option] | None = None,
    on_request: bool = False,
    accuracy: Mapping[str, Any] | None = None,
) -> type:
    class Fake:
        spec = MetricSpec(
            name, "1", (Column(name, "", "higher", (0, 1), ""),), None, frozenset(), judge, "here", options or {},
            on_request,
        )  # fmt: skip

        def __init__(self, device: str = "cpu", **given: Any) -> None:
            self.device, self.given = device, given

        def passport(self) -> Passport:
            return Passport(name, "1", "a judge", accuracy=accuracy or {})

        @classmethod
        def unavailable(cls, **given: Any) -> str | None:
            return missing

    return Fake


FETCH = r"evalkit fetch whisper:base\.en"


class Registered(dict[str, type]):
    def names(self) -> list[str]:
        return sorted(self)

    def load(self, name: str) -> type:
        return self[name]


MODEL = {"model": Option("base.en", "which"), "beam": Option(0, "width", low=0, high=10)}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registered:
    made = Registered(
        {
            "wer.bundled": metric("wer", "bundled"),
            "wer.whisper": metric("wer", "standard", options=MODEL),
            "wer.faster": metric("wer", "standard", on_request=True),
            "level": metric("level", "none", options={"dc": Option(False, "remove the mean")}),
            "utmos": metric("utmos", "standard", on_request=True),
        }
    )
    monkeypatch.setattr(judges, "METRICS", made)
    return made


def chosen(found: list[Choice], name: str) -> Any:
    return next(choice for choice in found if choice.name == name)


def test_auto_takes_the_standard_judge_and_leaves_out_what_runs_on_request(registry: Registered) -> None:
    found = choose((), "auto", "cpu")
    assert [choice.name for choice in found] == ["level", "wer"]
    wer = chosen(found, "wer")
    assert type(wer.metric) is registry["wer.whisper"] and wer.notice is None
    assert wer.metric.given == {"model": "base.en", "beam": 0} and wer.metric.device == "cpu"


def test_a_stand_in_is_loud_and_says_how_to_get_the_standard_judge(registry: Registered) -> None:
    registry["wer.whisper"] = metric("wer", "standard", missing="run evalkit fetch whisper:base.en", options=MODEL)
    (wer,) = choose(["wer"], "auto", "cpu")
    assert type(wer.metric) is registry["wer.bundled"]
    assert wer.notice is not None and "not comparable" in wer.notice and "evalkit fetch whisper:base.en" in wer.notice
    with pytest.raises(EvalkitError, match=FETCH):
        choose(["wer"], "standard", "cpu")
    with pytest.raises(EvalkitError, match=FETCH):
        choose(["wer.whisper"], "auto", "cpu")
    with pytest.raises(EvalkitError, match=FETCH):
        choose(["wer"], "auto", "cpu", ["wer.model=base.en"])
    with pytest.raises(EvalkitError, match=FETCH):
        choose((), "auto", "cpu", ["wer.model=x"], forced=["wer.whisper"])


def test_a_judge_may_be_named(registry: Registered) -> None:
    (named,) = choose(["wer.faster"], "bundled", "cpu")
    assert type(named.metric) is registry["wer.faster"]
    (bundled,) = choose(["wer"], "bundled", "cpu")
    assert type(bundled.metric) is registry["wer.bundled"]
    (utmos,) = choose(["utmos"], "auto", "cpu")
    assert type(utmos.metric) is registry["utmos"]
    forced = choose((), "bundled", "cpu", ["wer.model=tiny"], forced=["wer.whisper"])
    assert chosen(forced, "wer").metric.given["model"] == "tiny"
    with pytest.raises(EvalkitError, match="asked for twice"):
        choose(["wer", "wer.whisper"], "auto", "cpu")
    with pytest.raises(EvalkitError, match=r"did you mean 'wer\.whisper'"):
        choose(["wer.wisper"], "auto", "cpu")
    with pytest.raises(EvalkitError, match=r"known: level, utmos, wer, wer\.bundled, wer\.faster, wer\.whisper\."):
        choose(["nope"], "auto", "cpu")
    with pytest.raises(EvalkitError, match="not in --metrics"):
        choose(["level"], "auto", "cpu", forced=["wer.whisper"])


def test_settings_reach_their_metric_and_nobody_else(registry: Registered) -> None:
    found = choose((), "auto", "cpu", ["wer.beam=5", "level.dc=true"])
    assert chosen(found, "wer").metric.given["beam"] == 5
    assert chosen(found, "level").metric.given == {"dc": True}
    for bad, message in {
        "wer.bean=5": "did you mean 'beam'",
        "wer.beam=50": "from 0 to 10",
        "wer.beam=x": "takes a whole number",
        "level.dc": "name=value",
        "wr.beam=5": "Unknown metric 'wr'",
        "beam=5": r"--set beam=5: write METRIC\.OPTION=VALUE",
        "level.x=1": "--set level.x=1: .* has no option 'x'",
    }.items():
        with pytest.raises(EvalkitError, match=message):
            choose((), "auto", "cpu", [bad])
    with pytest.raises(EvalkitError, match="not computed"):
        choose(["level"], "auto", "cpu", ["wer.beam=5"])


def test_a_judge_that_is_often_wrong_or_was_never_measured_is_marked(registry: Registered) -> None:
    good, poor = {"accuracy": {"value": 0.96}}, {"accuracy": {"value": 0.87}}
    for accuracy, said in ((good, None), (poor, "87%"), ({"measured": "not yet: run evalkit calibrate"}, "calibrate")):
        registry["level"] = metric("level", "none", accuracy=accuracy)
        (level,) = choose(["level"], "auto", "cpu")
        assert (level.unreliable is None) == (said is None)
        assert said is None or (said in level.unreliable and said in level.notice)


def test_a_metric_that_cannot_run_is_absent_unless_it_was_asked_for(registry: Registered) -> None:
    registry["level"] = metric("level", "none", missing="needs the package x", options={"dc": Option(False, "")})
    assert chosen(choose((), "auto", "cpu"), "level").absent == "level: needs the package x"
    with pytest.raises(EvalkitError, match="needs the package x"):
        choose((), "standard", "cpu", ["level.dc=true"])
    with pytest.raises(EvalkitError, match="needs the package x"):
        choose(["level"], "auto", "cpu")

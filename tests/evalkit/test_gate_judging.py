"""Rules judged on runs made of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gate_runs import noise, row, rows_of, scores

from evalkit.decisions.gate.figures import measure
from evalkit.decisions.gate.judging import judge
from evalkit.decisions.gate.lost import Lost
from evalkit.decisions.gate.relative import Comparison, evident_level, prepare
from evalkit.decisions.gate.rules import make_rules
from evalkit.decisions.intervals import FEWEST
from evalkit.decisions.scores import Meaning, Scores
from evalkit.errors import EvalkitError

SAME = noise(40, 0.5, 1)


def rules(**kinds: Any) -> Any:
    return make_rules(dict(kinds), "gate.toml")


def relative(column: str = "dnsmos_ovrl", margin: float = 0.1, **more: Any) -> Any:
    return rules(relative=[{"column": column, "margin": margin, **more}])


def quality(shift: float = 0.0, spread: float = 0.05, seed: int = 2, number: int = 40) -> Scores:
    """A run whose clips score as SAME, and so much more, and some noise."""
    jitter = np.array(noise(number, spread, seed, 0.0))
    exact = np.array(SAME[:number]) + shift + jitter - (jitter.mean() if spread else 0)
    return scores(rows_of({"dnsmos_ovrl": exact.tolist()}))


def base(number: int = 40) -> Scores:
    return scores(rows_of({"dnsmos_ovrl": SAME[:number]}), "theirs")


def only(verdict: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found = [rule for rule in verdict["rules"] if rule["kind"] == kind]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("shift", "spread", "result"),
    [
        (0.0, 0.05, "pass"),
        (0.3, 0.05, "pass"),
        (-0.05, 0.05, "pass"),  # a loss that is evident, and surely smaller than the margin
        (-0.095, 0.05, "blocked"),  # evident, and perhaps beyond the margin
        (-0.15, 0.05, "blocked"),
        (0.0, 1.0, "undecided"),  # too noisy for the margin
        (-0.15, 1.0, "undecided"),
        (-0.15, 0.0, "blocked"),
        (-0.1, 0.0, "pass"),  # exactly the margin
    ],
)
def test_a_relative_rule_has_three_results(shift: float, spread: float, result: str) -> None:
    verdict = judge(quality(shift, spread), relative(), base())
    rule = only(verdict, "relative")
    assert rule["result"] == result
    assert verdict["verdict"] == ("blocked" if result == "blocked" else "pass")
    assert rule["figure"] == pytest.approx(shift, abs=1e-9)
    assert rule["limit"] == -0.1
    assert rule["mean"] - rule["baseline_mean"] == pytest.approx(shift, abs=1e-9)


def test_lower_is_better_the_other_way_round() -> None:
    worse, same = (scores(rows_of({"wer": [value] * 20 + [0.0] * 20})) for value in (0.75, 0.25))
    assert only(judge(worse, relative("wer"), same), "relative")["result"] == "blocked"
    better = only(judge(same, relative("wer"), worse), "relative")
    assert (better["result"], better["limit"]) == ("pass", 0.1)
    corpus = only(judge(worse, relative("wer_corpus"), same), "relative")
    assert (corpus["result"], corpus["figure"]) == ("blocked", pytest.approx(0.25))


def test_a_column_without_direction_may_go_neither_way() -> None:
    longer, same = (scores(rows_of({"duration_s": [s + 0.01 * i for i in range(40)]})) for s in (3.0, 2.0))
    for ours, theirs in ((longer, same), (same, longer)):
        assert only(judge(ours, relative("duration_s", 0.5), theirs), "relative")["result"] == "blocked"
    directed = relative("duration_s", 0.5, better="higher")
    assert only(judge(longer, directed, same), "relative")["result"] == "pass"
    assert only(judge(same, directed, longer), "relative")["result"] == "blocked"


def test_undecided_passes_loudly_and_says_what_would_tell() -> None:
    verdict = judge(quality(spread=1.0), relative(), base())
    rule = only(verdict, "relative")
    assert verdict["undecided"] == 1
    assert rule["more_items"] > 500  # (1.645 + 0.842)^2 / 0.1^2 is 618 in all
    assert f"About {rule['more_items']} more items" in rule["says"]
    assert "cannot tell: dnsmos_ovrl within 0.1" in verdict["sentence"]
    assert any("--strict" in notice for notice in verdict["notices"])


@pytest.mark.parametrize("how", ["strict", "file", "rule"])
def test_undecided_blocks_where_it_is_asked_to(how: str) -> None:
    chosen = {"column": "dnsmos_ovrl", "margin": 0.1} | ({"undecided": "block"} if how == "rule" else {})
    settled = rules(relative=[chosen], undecided="block" if how == "file" else "pass")
    verdict = judge(quality(spread=1.0), settled, base(), strict=how == "strict")
    assert (verdict["verdict"], only(verdict, "relative")["result"]) == ("blocked", "undecided")


def test_a_rule_of_its_own_can_be_lenient_in_a_file_that_is_not() -> None:
    settled = rules(relative=[{"column": "dnsmos_ovrl", "margin": 0.1, "undecided": "pass"}], undecided="block")
    assert judge(quality(spread=1.0), settled, base())["verdict"] == "pass"


def test_too_few_items_are_undecided() -> None:
    ours, theirs = quality(-1.0, 0.0, number=3), base(3)
    rule = only(judge(ours, relative(), theirs), "relative")
    assert (rule["result"], rule["more_items"]) == ("undecided", 3)
    one = only(judge(quality(0.0, 0.0, number=1), relative(), base(1)), "relative")
    assert one["result"] == "undecided"


def test_repeats_are_an_alternative_where_takes_differ() -> None:
    def takes(seed: int) -> Scores:
        values = np.random.default_rng(seed).normal(3.0, 0.6, (40, 2))
        return scores([row(f"i-{i}", r, dnsmos_ovrl=float(values[i, r])) for i in range(40) for r in range(2)])

    rule = only(judge(takes(3), relative(), takes(4)), "relative")
    assert rule["result"] == "undecided"
    assert rule["more_repeats"] is not None and f"{rule['more_repeats']} more repeat" in rule["says"]


def test_the_items_that_lost_most_are_named_worst_first() -> None:
    values = [value - 0.3 for value in SAME]
    values[7] -= 1.0
    values[3] += 2.0
    rule = only(judge(scores(rows_of({"dnsmos_ovrl": values})), relative(), base()), "relative")
    assert rule["items"][0] == "i-07"
    assert "i-03" not in rule["items"]
    assert len(rule["items"]) == 10


def test_without_a_baseline_nothing_is_compared_and_strict_blocks() -> None:
    chosen = rules(
        relative=[{"column": "dnsmos_ovrl", "margin": 0.1}],
        item=[{"column": "dnsmos_ovrl", "items": ["*"]}],
        coverage=[{"min": 1.0}],
    )
    verdict = judge(quality(), chosen)
    assert [rule["result"] for rule in verdict["rules"]] == ["pass", "skipped", "skipped"]
    assert (verdict["verdict"], verdict["baseline"]) == ("pass", None)
    assert "no accepted baseline" in verdict["notices"][0]
    assert judge(quality(), chosen, strict=True)["verdict"] == "blocked"


def test_coverage_counts_failures_and_crashed_metrics() -> None:
    rows = rows_of({"dnsmos_ovrl": [3.0] * 8 + [None] * 2})
    rows[0]["details"] = {"metric_crashed": True}
    rule = only(judge(scores(rows), rules(coverage=[{"min": 0.8}])), "coverage")
    assert (rule["result"], rule["figure"]) == ("blocked", pytest.approx(0.7))
    assert rule["items"] == ["i-00", "i-08", "i-09"]
    assert "2 failed, 1 with a metric that crashed" in rule["says"]
    assert judge(scores(rows), rules(coverage=[{"min": 0.7}]))["verdict"] == "pass"


def test_coverage_may_not_fall_below_the_baseline() -> None:
    ours = scores(rows_of({"dnsmos_ovrl": [3.0] * 9 + [None]}))
    whole = scores(rows_of({"dnsmos_ovrl": [3.0] * 10}))
    chosen = rules(coverage=[{"max_drop": 0.0}])
    assert judge(ours, chosen, whole)["verdict"] == "blocked"
    assert judge(ours, chosen, ours)["verdict"] == "pass"
    assert judge(whole, chosen, ours)["verdict"] == "pass"
    assert judge(ours, rules(coverage=[{"max_drop": 0.1}]), whole)["verdict"] == "pass"
    assert only(judge(ours, chosen), "coverage")["result"] == "skipped"


def test_coverage_of_a_column_and_of_a_tag() -> None:
    rows = rows_of({"dnsmos_ovrl": [3.0] * 4}, {"i-00": ["a:b"], "i-01": ["a:b"]})
    rows[0]["dnsmos_ovrl"] = None  # the metric gave no value, and nothing failed
    by_column = rules(coverage=[{"min": 1.0}, {"min": 0.6, "tag": "a:b", "column": "dnsmos_ovrl"}])
    results = [(rule["name"], rule["figure"]) for rule in judge(scores(rows), by_column)["rules"]]
    assert results == [("coverage", 1.0), ("coverage of dnsmos_ovrl [a:b]", 0.5)]


def test_a_failure_never_helps_a_run_of_which_nothing_is_left() -> None:
    dead = scores(rows_of({"dnsmos_ovrl": [None] * 40}))
    for optional in (True, False):
        rule = only(judge(dead, relative(optional=optional), base()), "relative")
        assert rule["result"] == "blocked"
        assert "none could be scored" in rule["says"]


def test_lost_pairs_are_said() -> None:
    ours = scores(rows_of({"dnsmos_ovrl": [*SAME[:38], None, None]}))
    rule = only(judge(ours, relative(), base()), "relative")
    assert (rule["lost"], rule["pairs"]) == (2, 38)
    assert "2 items of the baseline (i-38, i-39) have no value here" in rule["says"]


@pytest.mark.parametrize(
    ("limit", "result"),
    [({"min": 2.9}, "pass"), ({"min": 3.1}, "blocked"), ({"max": 3.1}, "pass"), ({"max": 2.9}, "blocked")],
)
def test_floors_and_ceilings_of_a_mean(limit: dict[str, float], result: str) -> None:
    ours = scores(rows_of({"dnsmos_ovrl": [2.0, 4.0] * 20}))
    rule = only(judge(ours, rules(absolute=[{"column": "dnsmos_ovrl", **limit}])), "absolute")
    assert (rule["result"], rule["figure"]) == (result, pytest.approx(3.0))
    assert rule["limit"] == next(iter(limit.values()))


def test_a_floor_with_confidence_is_held_by_the_bound() -> None:
    ours = scores(rows_of({"dnsmos_ovrl": [2.0, 4.0] * 20}))  # 3.0, standard error 0.16
    chosen = {"column": "dnsmos_ovrl", "min": 2.9}
    assert judge(ours, rules(absolute=[chosen]))["verdict"] == "pass"
    rule = only(judge(ours, rules(absolute=[{**chosen, "confidence": 0.95}])), "absolute")
    assert (rule["result"], rule["bound"]) == ("blocked", pytest.approx(3 - 1.645 * 0.16, abs=0.03))
    few = scores(rows_of({"dnsmos_ovrl": [3.0]}))
    assert only(judge(few, rules(absolute=[{**chosen, "confidence": 0.95}])), "absolute")["result"] == "undecided"


def test_a_floor_of_a_corpus_figure() -> None:
    ours = scores(rows_of({"wer": [0.25, 0.5, 0.75, 0.0]}))
    chosen = rules(absolute=[{"column": "wer_corpus", "max": 0.3}])
    rule = only(judge(ours, chosen), "absolute")
    assert (rule["result"], rule["figure"]) == ("blocked", pytest.approx(6 / 16))


def test_a_tag_is_judged_by_itself() -> None:
    tags = {f"i-{index:02d}": ["fixture:unseen"] for index in range(10)}
    lost = [value - (0.4 if index < 10 else 0.0) for index, value in enumerate(SAME)]
    ours = scores(rows_of({"dnsmos_ovrl": lost}, tags))
    theirs = scores(rows_of({"dnsmos_ovrl": SAME}), "theirs")  # a table need not have tags
    rule = only(judge(ours, relative(tag="fixture:unseen"), theirs), "tag")
    assert (rule["result"], rule["pairs"], rule["figure"]) == ("blocked", 10, pytest.approx(-0.4))
    assert only(judge(ours, rules(absolute=[{"column": "dnsmos_ovrl", "min": 9, "tag": "fixture:unseen"}])), "tag")
    with pytest.raises(EvalkitError, match="Unknown tag 'fixture:unsen': did you mean 'fixture:unseen'"):
        judge(ours, relative(tag="fixture:unsen"), theirs)
    assert only(judge(ours, relative(tag="x:y", optional=True), theirs), "tag")["result"] == "skipped"


def test_items_that_must_never_regress() -> None:
    right = {"pronunciation_accuracy": [1.0, 1.0, 0.5, 0.0]}
    theirs = scores(rows_of(right), "theirs")
    ours = scores(rows_of({"pronunciation_accuracy": [1.0, 0.5, 1.0, 0.0]}))
    chosen = rules(item=[{"column": "pronunciation_accuracy", "items": ["i-0*"]}])
    rule = only(judge(ours, chosen, theirs), "item")
    assert (rule["result"], rule["items"], rule["figure"]) == ("blocked", ["i-01"], -0.5)
    assert "i-01 (1 to 0.5)" in rule["says"]
    assert judge(theirs, chosen, theirs)["verdict"] == "pass"
    wide = rules(item=[{"column": "pronunciation_accuracy", "items": ["i-0*"], "margin": 0.5}])
    assert judge(ours, wide, theirs)["verdict"] == "pass"
    others = rules(item=[{"column": "pronunciation_accuracy", "items": ["i-00", "i-02"]}])
    assert judge(ours, others, theirs)["verdict"] == "pass"
    with pytest.raises(EvalkitError, match="Unknown item 'i-99'"):
        judge(ours, rules(item=[{"column": "pronunciation_accuracy", "items": ["i-99"]}]), theirs)


def test_an_item_that_failed_has_regressed() -> None:
    ours = scores(rows_of({"dnsmos_ovrl": [3.0, None, 3.0]}))
    theirs = scores(rows_of({"dnsmos_ovrl": [3.0, 3.0, None]}), "theirs")
    rule = only(judge(ours, rules(item=[{"column": "dnsmos_ovrl", "items": ["*"]}]), theirs), "item")
    assert (rule["result"], rule["items"], rule["lost"]) == ("blocked", ["i-01"], 1)
    assert "1 more item cannot be compared" in rule["says"]


def test_a_column_that_was_not_measured_is_bad_input_unless_optional() -> None:
    with pytest.raises(EvalkitError, match="Unknown column 'dnsmos_ovr': did you mean 'dnsmos_ovrl'"):
        judge(quality(), relative("dnsmos_ovr"), base())
    rows = rows_of({"dnsmos_ovrl": SAME})
    for one in rows:
        one["missing"] = {"speaker_similarity": "no reference clip was given"}
    with pytest.raises(EvalkitError, match="it is missing: no reference clip was given; measure the column, or"):
        judge(scores(rows), relative("speaker_similarity"), base())
    verdict = judge(scores(rows), relative("speaker_similarity", optional=True), base(), strict=True)
    assert (verdict["verdict"], only(verdict, "relative")["result"]) == ("pass", "skipped")
    with pytest.raises(EvalkitError, match="the baseline theirs has no wer"):
        judge(scores(rows_of({"wer": [0.5] * 40})), relative("wer"), base())


def test_other_passports_are_refused_or_reported() -> None:
    ours = quality(-1.0)
    theirs = scores(ours.rows, "theirs", passports={"dnsmos": {"version": "2"}, "wer": {"version": "9"}})
    with pytest.raises(EvalkitError, match=r"passports of 'dnsmos' differ in judge"):
        judge(ours, relative(), theirs)
    lenient = rules(passport={"differ": "report"}, relative=[{"column": "dnsmos_ovrl", "margin": 0.1}])
    verdict = judge(ours, lenient, theirs)
    assert [rule["result"] for rule in verdict["rules"]] == ["skipped", "skipped"]
    assert judge(ours, lenient, theirs, strict=True)["verdict"] == "blocked"


def test_only_judges_that_a_rule_relies_on_must_be_alike() -> None:
    ours = quality()
    passports = {"dnsmos": {"version": "1", "judge": "the judge"}, "wer": {"version": "another"}}
    theirs = scores(base().rows, "theirs", passports=passports)
    assert only(judge(ours, relative(), theirs), "passport")["result"] == "pass"
    named = rules(passport={"metrics": ["wer"]}, relative=[{"column": "dnsmos_ovrl", "margin": 0.1}])
    with pytest.raises(EvalkitError, match="passports of 'wer' differ"):
        judge(ours, named, theirs)


def test_a_misspelt_name_never_makes_a_rule_easier() -> None:
    named = rules(passport={"metrics": ["dnsmo"]}, relative=[{"column": "dnsmos_ovrl", "margin": 0.1}])
    with pytest.raises(EvalkitError, match="Unknown metric 'dnsmo': did you mean 'dnsmos'"):
        judge(quality(), named, base())
    with pytest.raises(EvalkitError, match="Unknown column 'dnsmos_ovr': did you mean 'dnsmos_ovrl'"):
        judge(quality(), rules(coverage=[{"min": 0.0, "column": "dnsmos_ovr"}]))


def test_another_suite_is_refused_whatever_the_passport_rule_says() -> None:
    other = scores(base().rows, "theirs", suite={"name": "general", "version": "1", "sha256": "6"})
    lenient = rules(passport={"differ": "report"}, relative=[{"column": "dnsmos_ovrl", "margin": 0.1}])
    with pytest.raises(EvalkitError, match=r"the suites differ \(smoke 1 and general 1\)"):
        judge(quality(), lenient, other)


def test_no_item_in_common_is_bad_input() -> None:
    theirs = scores([{**one, "item": f"x{one['item']}"} for one in base().rows], "theirs")
    with pytest.raises(EvalkitError, match="no item has dnsmos_ovrl both in this run and in the baseline"):
        judge(quality(), relative(), theirs)


def test_the_run_as_its_own_baseline_is_said() -> None:
    ours = quality()
    assert "its own baseline" in judge(ours, relative(), ours)["notices"][0]


def test_why_and_name_go_along() -> None:
    rule = only(judge(quality(-1.0), relative(name="sounds well", why="customers hear it"), base()), "relative")
    assert (rule["name"], rule["why"]) == ("sounds well", "customers hear it")


def test_the_bound_is_the_worse_end_whichever_way_is_better() -> None:
    up = only(judge(quality(spread=0.3), relative(), base()), "relative")
    assert (up["bound"], up["level"]) == (up["interval"][0], pytest.approx(0.9))
    wer = [0.0, 0.25, 0.5, 0.75] * 10
    ours, theirs = scores(rows_of({"wer": wer})), scores(rows_of({"wer": wer[::-1]}), "theirs")
    down = only(judge(ours, relative("wer"), theirs), "relative")
    assert down["bound"] == down["interval"][1] > 0
    assert down["result"] == "undecided"


def comparison(error: float, margin: float = 0.1, ways: tuple[int, ...] = (1,)) -> Comparison:
    """A rule about a difference whose standard error is `error`."""
    values = np.array(noise(30, 1.0, 1, 0.0))
    values = (values - values.mean()) / values.std(ddof=1) * error * np.sqrt(30)
    sides = scores(rows_of({"dnsmos_ovrl": values.tolist()})), scores(rows_of({"dnsmos_ovrl": [0.0] * 30}))
    ours, theirs = (measure(side, "dnsmos_ovrl") for side in sides)
    assert ours is not None and theirs is not None
    return replace(prepare(relative(margin=margin).relative[0], ours, theirs, Lost()), ways=ways)


def test_several_rules_share_five_per_cent_of_false_alarms() -> None:
    noisy, quiet = comparison(1.0), comparison(0.001)
    assert noisy.protection() > 0.9 and quiet.protection() < 1e-12
    assert evident_level([]) == evident_level([noisy]) == pytest.approx(0.90)
    assert evident_level([noisy] * 2) == pytest.approx(0.95)
    assert evident_level([noisy] * 4) == pytest.approx(0.975)
    assert evident_level([noisy, quiet, quiet]) == pytest.approx(0.90), "what needs no share leaves it to others"
    assert evident_level([comparison(1.0, ways=(1, -1))]) == pytest.approx(0.95), "it may go wrong both ways"
    half = comparison(0.0269)  # 0.1 / 0.0269 - 1.70 is 2.02, beyond which lie 2.6 %
    assert half.protection() == pytest.approx(0.026, abs=0.001)
    assert evident_level([half, half, half]) == pytest.approx(1 - 2 * 0.05 / 3)
    assert evident_level([half, noisy]) == pytest.approx(0.95)
    third = comparison(0.025)
    spent = third.protection()
    assert 0.005 < spent < 0.0167
    assert evident_level([noisy, third, noisy]) == pytest.approx(1 - (0.05 - spent))


def test_a_loss_that_one_rule_would_call_evident_is_undecided_among_many_noisy_ones() -> None:
    """Its 90 % interval excludes 0, its 97.5 % interval does not."""
    values = np.array(noise(40, 1.0, 3, 0.0))
    values = (values - values.mean()) / values.std(ddof=1) * np.sqrt(40)  # standard error 1
    ours = scores(rows_of({"dnsmos_ovrl": (values - 1.9).tolist()}))
    theirs = scores(rows_of({"dnsmos_ovrl": [0.0] * 40}), "theirs")
    one = {"column": "dnsmos_ovrl", "margin": 0.1}
    alone = judge(ours, rules(relative=[one]), theirs)
    among = judge(ours, rules(relative=[{**one, "name": name} for name in "abcd"]), theirs)
    assert [rule["result"] for rule in alone["rules"]] == ["pass", "blocked"]
    assert [rule["result"] for rule in among["rules"]] == ["pass", *["undecided"] * 4]


def test_engines_as_noisy_as_can_be_are_rarely_blocked_by_many_rules() -> None:
    columns = {name: Meaning("", "higher", "m") for name in "abcd"}
    chosen = rules(relative=[{"column": name, "margin": 0.01} for name in columns])
    rng = np.random.default_rng(5)
    blocked = 0
    for _ in range(200):
        sides = []
        for name in ("ours", "theirs"):
            rows = [
                row(f"i-{i}", **{one: float(v) for one, v in zip("abcd", rng.normal(size=4), strict=True)})
                for i in range(12)
            ]
            sides.append(replace(scores(rows, name), columns=columns))
        blocked += judge(sides[0], chosen, sides[1])["verdict"] == "blocked"
    assert blocked <= 19  # at 5 %, one in 120 would have more; without sharing there are 35


def test_an_item_is_the_mean_of_its_repeats() -> None:
    ours = scores([row("a", repeat, pronunciation_accuracy=value) for repeat, value in enumerate((1.0, 0.0))])
    theirs = scores([row("a", repeat, pronunciation_accuracy=1.0) for repeat in range(2)], "theirs")
    for margin, verdict in ((0.5, "pass"), (0.4, "blocked")):
        chosen = rules(item=[{"column": "pronunciation_accuracy", "items": ["a"], "margin": margin}])
        assert judge(ours, chosen, theirs)["verdict"] == verdict


def without(number: int, failed: bool = False, manifest: bool = True) -> Scores:
    """As good as the baseline, and without a value of the last so many items."""
    rows = rows_of({"dnsmos_ovrl": SAME})
    for one in rows[40 - number :]:
        one.update(dnsmos_ovrl=None, status="failed" if failed else "ok")
    found = scores(rows)
    return found if manifest else replace(found, manifest=None)


def test_values_that_no_coverage_rule_counts_leave_a_rule_undecided() -> None:
    status = rules(coverage=[{"min": 0.5}], relative=[{"column": "dnsmos_ovrl", "margin": 0.1}])
    verdict = judge(without(12), status, base())
    rule = only(verdict, "relative")
    assert (rule["result"], rule["lost"], rule["items"]) == ("undecided", 12, [])
    assert "12 items of the baseline (i-28, i-29, i-30, i-31, i-32 and 7 more) have no value here" in rule["says"]
    assert "no coverage rule counts them; one with column = 'dnsmos_ovrl' would." in rule["says"]
    assert verdict["verdict"] == "pass" and "cannot tell: dnsmos_ovrl within 0.1" in verdict["sentence"]
    assert judge(without(12), status, base(), strict=True)["verdict"] == "blocked"
    by_column = rules(coverage=[{"min": 0.9, "column": "dnsmos_ovrl"}], relative=[dict(status.relative[0])])
    counted = judge(without(12), by_column, base())
    assert counted["verdict"] == "blocked" and only(counted, "relative")["result"] == "pass"
    assert judge(without(2), by_column, base(), strict=True)["verdict"] == "pass"


def test_failures_are_the_business_of_the_coverage_rule_and_said_where_the_rule_holds() -> None:
    chosen = rules(coverage=[{"min": 0.9}], relative=[{"column": "dnsmos_ovrl", "margin": 0.1}])
    verdict = judge(without(2, failed=True), chosen, base(), strict=True)
    rule = only(verdict, "relative")
    assert (verdict["verdict"], rule["result"], rule["lost"]) == ("pass", "pass", 2)
    assert rule["note"] in rule["says"] and rule["note"].endswith("could not be compared; a coverage rule counts them.")
    assert only(judge(without(2, failed=True), relative(), base()), "relative")["result"] == "undecided"
    other = rules(coverage=[{"min": 0.0, "tag": "a:b"}], relative=[{"column": "dnsmos_ovrl", "margin": 0.1}])
    some = without(2, failed=True)
    some.rows[0]["tags"] = ["a:b"]
    assert only(judge(some, other, base()), "relative")["result"] == "undecided", "they have not the rule's tag"


@pytest.mark.parametrize(("manifest", "result"), [(True, "pass"), (False, "undecided")])
def test_items_that_are_not_in_the_run_were_not_asked_for_unless_it_is_a_table(manifest: bool, result: str) -> None:
    whole = without(0, manifest=manifest)
    rule = only(judge(replace(whole, rows=whole.rows[:38]), relative(), base()), "relative")
    assert (rule["result"], rule["lost"]) == (result, 2)
    assert rule["note"] == "2 items of the baseline (i-38, i-39) have no line in this run and could not be compared."


@pytest.mark.parametrize("number", range(2, FEWEST))
def test_fewer_than_six_items_decide_nothing(number: int) -> None:
    settled = relative(undecided="block")
    for shift in (-1.0, 0.0):
        rule = only(judge(quality(shift, 0.001, number=number), settled, base(number)), "relative")
        assert rule["result"] == "undecided" and rule["interval"] is None and "too few to say" in rule["says"]
    floor = only(
        judge(base(number), rules(absolute=[{"column": "dnsmos_ovrl", "min": 1.0, "confidence": 0.95}])), "absolute"
    )
    assert floor["result"] == "undecided" and "too few to say" in floor["says"]


def test_a_rule_with_too_few_items_takes_no_share_of_the_false_alarms() -> None:
    many = comparison(0.045)
    few = replace(many, found=replace(many.found, intervals={many.level: None}))
    assert few.protection() == 0.0 and evident_level([many, few]) == evident_level([many])

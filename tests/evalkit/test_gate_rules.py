"""A file of rules is read strictly, and what is wrong in it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.decisions.gate.rules import make_rules, read_rules, starter_rules
from evalkit.errors import EvalkitError
from evalkit.registry import SUITES

WHOLE = """
undecided = "block"

[passport]
differ = "report"
metrics = ["dnsmos"]

[[coverage]]
min = 0.99
max_drop = 0

[[absolute]]
column = "dnsmos_ovrl"
min = 2
confidence = 0.9

[[relative]]
column = "dnsmos_ovrl"
margin = 0.1
tag = "fixture:unseen"
undecided = "pass"

[[item]]
column = "pronunciation_accuracy"
items = ["in-001", "in-1*"]
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_whole_file_with_every_kind_of_rule(tmp_path: Path) -> None:
    rules = read_rules(write(tmp_path / "gate.toml", WHOLE))
    assert [rule.title for rule in rules.rules()] == [
        "coverage",
        "dnsmos_ovrl at least 2",
        "dnsmos_ovrl within 0.1 of the baseline [fixture:unseen]",
        "pronunciation_accuracy of in-001, in-1*",
    ]
    assert (rules.passport.differ, rules.passport.metrics) == ("report", ["dnsmos"])
    assert rules.lenient(rules.relative[0])
    assert not rules.lenient(rules.absolute[0])


@pytest.mark.parametrize("suite", SUITES.names())
def test_every_built_in_suite_brings_rules_along(suite: str) -> None:
    if suite in {"smoke", "general", "indian-names"}:
        rules = starter_rules(suite)
        assert rules.coverage and rules.relative, "a failed utterance must never help"


def test_a_suite_without_rules_says_how_to_go_on() -> None:
    with pytest.raises(EvalkitError, match=r"The suite 'mine' brings no gate\.toml along: .* --rules"):
        starter_rules("mine")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[relativ]]\nmargin = 1", "Unknown table 'relativ': did you mean 'relative'?"),
        (
            '[[relative]]\ncolumn = "wer"\nmargn = 1',
            r"relative rule 1 \('wer'\): unknown field 'margn': did you mean 'margin'?",
        ),
        ('[[relative]]\ncolumn = "wer"', r"relative rule 1 \('wer'\): the field 'margin' is missing"),
        (
            '[[relative]]\ncolumn = "wer"\nmargin = -1',
            r"relative rule 1 \('wer'\), margin: .*greater than or equal to 0, not -1",
        ),
        ('[[relative]]\ncolumn = "wer"\nmargin = nan', r"margin: .*finite number"),
        ('[[relative]]\ncolumn = "wer"\nmargin = "0.1"', r"margin: .*valid number, not '0.1'"),
        ('[[relative]]\ncolumn = "wer"\nmargin = 1\nconfidence = 95', r"confidence: .*less than 1, not 95"),
        (
            '[[relative]]\ncolumn = "wer"\nmargin = 1\nundecided = "maybe"',
            r"undecided: .*'pass' or 'block', not 'maybe'",
        ),
        ('[[absolute]]\ncolumn = "wer"', "an absolute rule needs min, max or both"),
        ('[[absolute]]\ncolumn = "wer"\nmin = 2\nmax = 1', "min lies above max"),
        ("[[coverage]]\nmin = 1.5", "coverage rule 1, min: .*less than or equal to 1"),
        ("[[coverage]]", "a coverage rule needs min, max_drop or both"),
        ('[[item]]\ncolumn = "wer"', "an item rule needs items, a tag or both"),
        ('[[coverage]]\nmin = 1\n[passport]\ndiffer = "ignore"', "the passport rule, differ: .*'refuse' or 'report'"),
        ("[coverage]\nmin = 1", r"write the head of a coverage rule as \[\[coverage\]\]"),
        ("[[passport]]\n", r"write the head of a passport rule as \[passport\]"),
        ('undecided = "perhaps"\n[[coverage]]\nmin = 1', "undecided: .*'pass' or 'block'"),
        ("", "hold no rule"),
        ("[[coverage]]\nmin = 1\n[[coverage]]\nmin = 0.5", "two rules are called 'coverage'"),
        ("[[coverage", "are not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_rule(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path / "gate.toml", text)
    with pytest.raises(EvalkitError, match=said) as raised:
        read_rules(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value) or "TOML" in said


def test_a_second_rule_is_called_by_its_number_and_name(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=r"relative rule 2 \('quality'\)"):
        make_rules({"relative": [{"column": "wer", "margin": 1}, {"name": "quality", "column": "x"}]}, "here")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="do not exist; check the path"):
        read_rules(tmp_path / "none.toml")
    with pytest.raises(EvalkitError, match="cannot be read as text"):
        read_rules(tmp_path)

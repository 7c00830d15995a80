"""The verdict as a table, as Markdown and as JUnit XML."""

from __future__ import annotations

from io import StringIO
from typing import Any
from xml.etree import ElementTree

from rich.console import Console

from reports.gate_text import gate_table, render_gate_markdown, render_junit

BLANK = {
    "kind": "relative",
    "blocks": False,
    "column": "dnsmos_ovrl",
    "tag": None,
    "figure": None,
    "limit": None,
    "interval": None,
    "level": None,
    "bound": None,
    "unit": "",
    "mean": None,
    "baseline_mean": None,
    "pairs": None,
    "lost": 0,
    "items": [],
    "more_items": None,
    "more_repeats": None,
    "why": "",
    "optional": False,
}


def rule(name: str, result: str, **more: Any) -> dict[str, Any]:
    return {**BLANK, "name": name, "result": result, "says": f"{name} says so.", **more}


def verdict(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "verdict": "blocked" if any(one["blocks"] for one in rules) else "pass",
        "sentence": "Blocked by 1 of 4 rules: quality.",
        "run": "2026-run",
        "model": "merged.pth",
        "suite": "smoke 1",
        "baseline": {"run": "2025-run", "model": "base.pth"},
        "undecided": sum(one["result"] == "undecided" for one in rules),
        "strict": False,
        "rules_from": "gate.toml",
        "rules": list(rules),
        "notices": ["Mind the gap."],
        **more,
    }


QUALITY = rule(
    "quality",
    "blocked",
    blocks=True,
    figure=-0.163,
    limit=-0.1,
    interval=[-0.2, -0.12],
    level=0.9,
    unit="MOS",
    mean=2.8,
    baseline_mean=2.963,
    items=["in-007", "in-001"],
    why="customers hear it",
)
WHOLE = verdict(
    rule("coverage", "pass", kind="coverage", figure=0.995, limit=0.99),
    QUALITY,
    rule("words", "undecided", figure=0.01, limit=0.05, baseline_mean=0.3),
    rule("voice", "skipped"),
)


def printed(result: dict[str, Any], width: int = 140) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(gate_table(result))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_verdict_comes_first_then_every_figure() -> None:
    text = printed(WHOLE)
    assert text.startswith("Blocked by 1 of 4 rules: quality.")
    assert "merged.pth on smoke 1 (2026-run), baseline base.pth (2025-run)" in text
    lines = {line.split()[0]: " ".join(line.split()) for line in text.splitlines() if line.strip()}
    assert lines["coverage"] == "coverage 99.5 % 99 % pass"
    assert "quality -0.163 MOS [-0.200, -0.120] 90 % -0.100 BLOCKED" in " ".join(text.split())
    assert "quality: quality says so. Most lost: in-007, in-001. (customers hear it)" in text
    assert "words: words says so." in text and "voice: voice says so." in text
    assert "coverage: " not in text, "what holds needs no sentence"
    assert "Mind the gap." in text


def test_text_is_never_read_as_markup() -> None:
    hostile = verdict(rule("[red]x[/red]", "pass"), sentence="[bold]all[/bold]", model="[link=x]m[/link]")
    assert "[red]x[/red]" in printed(hostile) and "[bold]all[/bold]" in printed(hostile)
    markdown = render_gate_markdown([verdict(rule("a|b <img> *c*", "pass"), model="@everyone `x`")])
    assert r"a\|b &lt;img> \*c\*" in markdown
    assert "@everyone" not in markdown


def test_markdown_has_a_section_per_verdict() -> None:
    text = render_gate_markdown(
        [WHOLE, verdict(rule("coverage", "pass"), sentence="Passed: the rule holds.", notices=[])]
    )
    assert text.count("\n## ") + text.startswith("## ") == 2
    assert text.startswith("## ❌ Blocked by 1 of 4 rules: quality.")
    assert "## ✅ Passed" in text
    table = text.split("\n\n")[2].splitlines()
    assert all(line.count(" | ") == 4 for line in table)
    assert "| quality | -0.163 MOS | [-0.200, -0.120] 90 % | -0.100 | ❌ BLOCKED |" in table
    assert "> Mind the gap." in text


def test_an_undecided_pass_does_not_look_like_a_pass() -> None:
    text = render_gate_markdown([verdict(rule("words", "undecided"), sentence="Passed: 0 of 1 rule hold.")])
    assert text.startswith("## ⚠️") and "⚠️ cannot tell" in text


def test_what_blocks_though_it_is_undecided_says_so() -> None:
    strict = verdict(rule("words", "undecided", blocks=True), strict=True)
    assert "❌ cannot tell, blocks" in render_gate_markdown([strict])
    suite = ElementTree.fromstring(render_junit([strict]))[0]
    assert suite.get("failures") == "1" and suite.get("skipped") == "0"


def test_junit_has_what_its_readers_need() -> None:
    root = ElementTree.fromstring(render_junit([WHOLE, verdict(rule("coverage", "pass"), notices=[])]))
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == ("testsuites", "5", "1", "0")
    suite = root[0]
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "2",
    }
    assert [child.tag for child in suite] == ["properties", *["testcase"] * 4, "system-out"]
    properties = {one.get("name"): one.get("value") for one in suite[0]}
    assert properties["verdict"] == "blocked" and properties["baseline"] == "2025-run"
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert all(case.get("classname") and case.get("time") for case in cases.values())
    failure = cases["quality"].find("failure")
    assert failure is not None and failure.get("type") == "blocked"
    assert "customers hear it" in (failure.get("message") or "")
    assert "items: in-007, in-001" in (failure.text or "")
    for name in ("words", "voice"):
        skipped = cases[name].find("skipped")
        assert skipped is not None and "says so" in (skipped.get("message") or "")
    assert cases["coverage"].find("failure") is None and cases["coverage"].find("skipped") is None


def test_junit_has_no_attribute_or_child_that_jenkins_schema_lacks() -> None:
    """junit-10.xsd of Jenkins' xUnit plugin, the strictest schema in use."""
    allowed = {
        "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
        "testsuite": (
            {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"},
            {"properties", "testcase", "system-out"},
        ),
        "properties": (set(), {"property"}),
        "property": ({"name", "value"}, set()),
        "testcase": ({"name", "classname", "time"}, {"failure", "skipped", "system-out"}),
        "failure": ({"type", "message"}, set()),
        "skipped": ({"type", "message"}, set()),
        "system-out": (set(), set()),
    }
    root = ElementTree.fromstring(render_junit([WHOLE]))
    for element in root.iter():
        attributes, children = allowed[element.tag]
        assert set(element.attrib) <= attributes, element.tag
        assert {child.tag for child in element} <= children, element.tag


def test_junit_survives_what_xml_forbids() -> None:
    nasty = verdict(rule("a\x00<b>&\x1b[31m", "blocked", blocks=True, says="x\ud800y"), model="m\x0bn")
    root = ElementTree.fromstring(render_junit([nasty]).encode("utf-8", "strict"))
    case = next(root.iter("testcase"))
    assert case.get("name") == "a�<b>&�[31m"


def test_many_items_are_counted_in_sentences_and_listed_in_details() -> None:
    items = [f"i-{index}" for index in range(30)]
    many = verdict(rule("coverage", "blocked", kind="coverage", blocks=True, figure=0.0, limit=1.0, items=items))
    assert "Not scored: i-0, i-1" in printed(many) and "i-9 and 20 more." in printed(many)
    failure = next(ElementTree.fromstring(render_junit([many])).iter("failure"))
    assert "i-29" in (failure.text or "") and "i-29" not in (failure.get("message") or "")


def test_figures_are_written_as_fine_as_their_limit() -> None:
    fine = rule("x", "pass", figure=-0.0021, limit=-0.02, baseline_mean=0.9)
    assert "| -0.0021 |" in render_gate_markdown([verdict(fine)])
    floor = rule("x", "pass", kind="absolute", figure=2.912, limit=2.5, unit="MOS", mean=2.912)
    assert "| 2.91 MOS |" in render_gate_markdown([verdict(floor)])


def test_what_a_rule_that_holds_could_not_look_at_is_said() -> None:
    note = "1 item of the baseline (x) has no value here."
    result = verdict(
        *(rule(name, "pass", lost=1, says=f"{name} holds. {note}", note=note) for name in ("mos", "words"))
    )
    assert f"mos, words: {note}" in printed(result) and "mos holds" not in printed(result)
    assert f"- **mos, words**: {note}" in render_gate_markdown([result])

"""The verdict of a gate: a table for the terminal, Markdown for the page of a CI job, JUnit XML for its test view."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from reports.values import interval, is_number, number, percent, signed

if TYPE_CHECKING:
    from rich.console import Group

_WORD = {"pass": "pass", "blocked": "BLOCKED", "undecided": "cannot tell", "skipped": "not judged"}
_STYLE = {"pass": "green", "blocked": "bold red", "undecided": "yellow", "skipped": "dim"}
_MARK = {"pass": "✅", "blocked": "❌", "undecided": "⚠️", "skipped": "⏭️"}
_ITEMS = 10  # named in a sentence; JUnit's details and JSON have them all
_COMPARING = frozenset({"relative", "tag", "item"})
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def gate_table(result: Mapping[str, Any]) -> Group:
    """The verdict in one sentence, every rule's figure, then what each rule that does not simply hold says.

    Of a rule that holds, what it could not look at.

    Print it with `rich.console.Console().print(...)`.
    """
    from rich import box
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

    style = "bold red" if result["verdict"] == "blocked" else "bold green"
    parts: list[RenderableType] = [Text(result["sentence"], style=style), Text(_subject(result)), ""]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
    table.add_column("rule", overflow="fold")
    for heading in ("figure", "interval", "limit"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for rule in result["rules"]:
        cells = (rule["name"], *_figures(rule), _word(rule))
        table.add_row(*(Text(cell) for cell in cells), style="bold red" if rule["blocks"] else _STYLE[rule["result"]])
    parts += [table, ""]
    parts += [Text.assemble((f"{names}: ", "bold"), said) for names, said in _remarks(result)]
    parts += [Text(notice, style="bold yellow") for notice in result["notices"]]
    return Group(*parts)


def render_gate_markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """One section per verdict: the sentence, the table of rules, and what the rules say that do not simply hold."""
    return "\n".join(_section(result) for result in results)


def render_junit(results: Sequence[Mapping[str, Any]]) -> str:
    """JUnit XML as CI systems read it: one test suite per verdict, one test case per rule.

    What blocks is a failure; what is undecided or not judged, and is let through, is skipped with its reason.
    """
    suites = [_testsuite(result) for result in results]
    totals = {key: str(sum(int(suite.get(key, "0")) for suite in suites)) for key in ("tests", "failures", "errors")}
    root = ElementTree.Element("testsuites", {"name": "evalkit gate", **totals})
    root.extend(suites)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _testsuite(result: Mapping[str, Any]) -> ElementTree.Element:
    rules = result["rules"]
    counts = {
        "tests": len(rules),
        "failures": sum(bool(rule["blocks"]) for rule in rules),
        "errors": 0,
        "skipped": sum(rule["result"] in {"undecided", "skipped"} and not rule["blocks"] for rule in rules),
    }
    name = " on ".join(_xml(result[key]) for key in ("model", "suite") if result.get(key))
    suite = ElementTree.Element("testsuite", {"name": name, **{key: str(n) for key, n in counts.items()}, "time": "0"})
    properties = ElementTree.SubElement(suite, "properties")
    baseline = result.get("baseline") or {}
    given = {
        "verdict": result["verdict"],
        "run": result["run"],
        "baseline": baseline.get("run") or "none",
        "strict": "yes" if result["strict"] else "no",
        "undecided": result["undecided"],
        "says": result["sentence"],
    }
    for key, value in given.items():
        ElementTree.SubElement(properties, "property", {"name": key, "value": _xml(value)})
    for rule in rules:
        suite.append(_testcase(rule, name))
    if result["notices"]:
        ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(result["notices"]))
    return suite


def _testcase(rule: Mapping[str, Any], suite: str) -> ElementTree.Element:
    classname = f"evalkit.gate.{suite.replace('.', '_')}.{rule['kind']}"  # a dot would be read as a package's
    case = ElementTree.Element("testcase", {"name": _xml(rule["name"]), "classname": classname, "time": "0"})
    if rule["blocks"]:
        failure = ElementTree.SubElement(case, "failure", {"message": _xml(_said(rule)), "type": rule["result"]})
        failure.text = _xml(_details(rule))
    elif rule["result"] in {"undecided", "skipped"}:
        ElementTree.SubElement(case, "skipped", {"message": _xml(f"{_word(rule)}: {_said(rule)}")})
    else:
        ElementTree.SubElement(case, "system-out").text = _xml(_said(rule))
    return case


def _details(rule: Mapping[str, Any]) -> str:
    figure, bounds, limit = _figures(rule)
    lines = [f"figure: {figure}", f"interval: {bounds}", f"limit: {limit}"]
    if rule["items"]:
        lines.append(f"items: {', '.join(rule['items'])}")
    return "\n".join(lines)


def _section(result: Mapping[str, Any]) -> str:
    mark = _MARK["blocked" if result["verdict"] == "blocked" else "undecided" if result["undecided"] else "pass"]
    parts = [f"## {mark} {_cell(result['sentence'])}", _cell(_subject(result))]
    head = ["rule", "figure", "interval", "limit", "result"]
    rows = [
        [
            _cell(rule["name"]),
            *_figures(rule),
            f"{_MARK['blocked' if rule['blocks'] else rule['result']]} {_word(rule)}",
        ]
        for rule in result["rules"]
    ]
    lines = [head, ["---", "---:", "---:", "---:", "---"], *rows]
    parts.append("\n".join("| " + " | ".join(cells) + " |" for cells in lines))
    said = [f"- **{_cell(names)}**: {_cell(sentence)}" for names, sentence in _remarks(result)]
    if said:
        parts.append("\n".join(said))
    parts += [f"> {_cell(notice)}" for notice in result["notices"]]
    return "\n\n".join(parts) + "\n"


def _subject(result: Mapping[str, Any]) -> str:
    suite = f" on {result['suite']}" if result.get("suite") else ""
    said = f"{result['model']}{suite} ({result['run']})"
    baseline = result.get("baseline")
    said += f", baseline {baseline['model']} ({baseline['run']})" if baseline else ", no baseline"
    return said + (", strict" if result["strict"] else "")


def _remarks(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the rules say that do not simply hold, and what those that hold note; those that say the same together."""
    said: dict[str, list[str]] = {}
    for rule in result["rules"]:
        sentence = _said(rule) if rule["result"] != "pass" else str(rule.get("note", ""))
        if sentence:
            said.setdefault(sentence, []).append(rule["name"])
    return [(", ".join(names), sentence) for sentence, names in said.items()]


def _said(rule: Mapping[str, Any]) -> str:
    """The rule's sentence, the items behind it, and what the rule is there for."""
    said = str(rule["says"])
    if rule["items"] and rule["kind"] != "item":
        rest = len(rule["items"]) - _ITEMS
        more = f" and {rest} more" if rest > 0 else ""
        which = "Not scored" if rule["kind"] == "coverage" else "Most lost"
        said += f" {which}: {', '.join(rule['items'][:_ITEMS])}{more}."
    return said + (f" ({rule['why']})" if rule["why"] and rule["blocks"] else "")


def _word(rule: Mapping[str, Any]) -> str:
    word = _WORD[rule["result"]]
    return f"{word}, blocks" if rule["blocks"] and rule["result"] != "blocked" else word


def _figures(rule: Mapping[str, Any]) -> tuple[str, str, str]:
    """Figure, interval and limit; a share as per cent, a difference with its sign."""
    if rule["kind"] == "coverage":
        return percent(rule["figure"]), "", percent(rule["limit"]) if is_number(rule["limit"]) else ""
    digits = _digits(rule)
    unit = f" {rule['unit']}" if rule["unit"] and is_number(rule["figure"]) else ""
    write = signed if rule["kind"] in _COMPARING and rule["baseline_mean"] is not None else number
    figure = f"{write(rule['figure'], digits)}{unit}" if is_number(rule["figure"]) else ""
    bounds = interval(rule["interval"], digits, sign=write is signed) if rule["interval"] else ""
    if bounds and is_number(rule["level"]):
        bounds = f"{bounds} {percent(rule['level'])}"
    return figure, bounds, write(rule["limit"], digits) if is_number(rule["limit"]) else ""


def _digits(rule: Mapping[str, Any]) -> int:
    """As many as the limit needs for two significant ones."""
    scale = min((abs(rule[key]) for key in ("limit", "figure") if is_number(rule[key]) and rule[key]), default=1.0)
    return 0 if scale >= 100 else 1 if scale >= 10 else 2 if scale >= 1 else 3 if scale >= 0.01 else 4


def _cell(text: object) -> str:
    """Text that can neither break a table nor become markup."""
    flat = " ".join(str(text).split())
    escaped = re.sub(r"([\\|*_`\[\]])", r"\\\1", flat)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace("@", "&#64;")


def _xml(text: object) -> str:
    """Text without the characters that XML 1.0 forbids."""
    return _NOT_XML.sub("�", str(text))

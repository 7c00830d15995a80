"""Whether rules can be judged on runs that are yet to be made: their columns, tags and items."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterator, Sequence

from evalkit.decisions.gate.schema import Item, Rules
from evalkit.decisions.summary import CORPUS
from evalkit.decisions.timing import TIMINGS
from evalkit.errors import EvalkitError
from evalkit.registry import unknown
from evalkit.suites import Item as SuiteItem


def check_rules(
    rules: Rules, columns: Collection[str], items: Sequence[SuiteItem], named: Sequence[SuiteItem] | None = None
) -> None:
    """Raises EvalkitError for the first of `rule_faults`."""
    for fault in rule_faults(rules, columns, items, named):
        raise EvalkitError(f"The rules {rules.origin}: {fault}")


def rule_faults(
    rules: Rules, columns: Collection[str], items: Sequence[SuiteItem], named: Sequence[SuiteItem] | None = None
) -> Iterator[str]:
    """A sentence per rule that `judge` would refuse.

    columns: that the chosen metrics compute. items: that are judged; named: those that an item rule may name, if they
    are more than these.
    """
    scores = {*columns, *TIMINGS}
    known = scores | {f"{name}_corpus" for name in CORPUS if name in columns}
    tags = {tag for item in items for tag in item.tags}
    for cover in rules.coverage:
        if cover.column is not None and cover.column not in scores:
            yield _of_column(cover.title, cover.column, scores)
        elif cover.tag is not None and cover.tag not in tags:
            yield _of_tag(cover.title, cover.tag, tags)
    for rule in (*rules.absolute, *rules.relative, *rules.item):
        if rule.column not in known:
            if not rule.optional:
                yield f"{_of_column(rule.title, rule.column, known)} A rule with optional = true is skipped then."
        elif rule.tag is not None and rule.tag not in tags:
            if not rule.optional:
                yield _of_tag(rule.title, rule.tag, tags)
        elif isinstance(rule, Item):
            ids = _ids(rule, items if named is None else named)
            wrong = next((pattern for pattern in rule.items if not _hits(pattern, ids)), None)
            if wrong is not None:
                yield f"the rule '{rule.title}': {unknown('item', wrong, ids)}"


def on_items(rules: Rules, items: Sequence[SuiteItem]) -> Rules:
    """Rules for some of the items: an item rule keeps what it names among them, and goes where nothing is left."""
    kept = []
    for rule in rules.item:
        ids = _ids(rule, items)
        named = [pattern for pattern in rule.items if _hits(pattern, ids)]
        if named or not rule.items:
            kept.append(rule.model_copy(update={"name": rule.title, "items": named}))
    return rules.model_copy(update={"item": kept})


def _ids(rule: Item, items: Sequence[SuiteItem]) -> list[str]:
    return [item.id for item in items if rule.tag is None or rule.tag in item.tags]


def _hits(pattern: str, ids: Sequence[str]) -> bool:
    return pattern in ids or bool(fnmatch.filter(ids, pattern))


def _of_column(title: str, column: str, known: Collection[str]) -> str:
    return (
        f"the rule '{title}' is about the column '{column}', which is not computed by the metrics that are chosen. "
        f"{unknown('column', column, known)}"
    )


def _of_tag(title: str, tag: str, tags: Collection[str]) -> str:
    return f"the rule '{title}' is about items with a tag that none has here. {unknown('tag', tag, tags)}"

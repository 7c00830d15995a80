"""A sweep in sentences and as a table of the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.inspection_text import printable
from reports.values import MISSING, decimals, interval, number, signed

if TYPE_CHECKING:
    from rich.table import Table

STATUS = {
    "ok": "",
    "pruned": "stopped early",
    "failed": "failed",
    "short": "coverage short",
    "blocked": "blocked by the rules",
}
_LISTED = 40


def sentences(sweep: Mapping[str, Any]) -> list[str]:
    """What came of it: the choice, the figure it is quoted with, and advice on sampling."""
    choice, figures = sweep["choice"], sweep["figures"]
    if choice is None:
        return [no_choice(sweep)]
    said = [chosen_sentence(sweep), figure_sentence(sweep)]
    if figures["differences"]:
        said.append(difference_sentence(sweep, choice["column"]))
    if sweep["advice"]:
        said.append(advice_sentence(sweep))
    return [printable(sentence) for sentence in said]


def no_choice(sweep: Mapping[str, Any]) -> str:
    """Why nothing is chosen."""
    counts = {status: sum(p["status"] == status for p in sweep["points"]) for status in STATUS}
    reasons = [f"{count} {STATUS[status]}" for status, count in counts.items() if count and STATUS[status]]
    return f"No point is chosen: {', '.join(reasons) or 'none has a value'}."


def chosen_sentence(sweep: Mapping[str, Any]) -> str:
    """Which point, and how many others are as good as far as these items can tell."""
    choice = sweep["choice"]
    column, others = choice["column"], choice["alike"] - 1
    if not others:
        return f"Chosen: {choice['point']}, the best {column} of {_points(choice['of'])}; no other comes near it."
    are = "1 other point cannot" if others == 1 else f"{others} other points cannot"
    if choice["best"] == choice["point"]:
        return (
            f"Chosen: {choice['point']}, the best {column} of {_points(choice['of'])}; {are} be told from it, and none "
            "of them lies nearer to the default."
        )
    return (
        f"Chosen: {choice['point']}. The best {column} of {_points(choice['of'])} has {choice['best']}, but {are} be "
        "told from it; of these the nearest to the default is taken."
    )


def figure_sentence(sweep: Mapping[str, Any]) -> str:
    """The figure with its interval, and what it may be called."""
    figures, column = sweep["figures"], sweep["choice"]["column"]
    one, digits = figures["chosen"].get(column), digits_of(sweep, column)
    if one is None:
        return f"It has no {column} on the items that the figure is quoted from."
    written = f"{column} {number(one['mean'], digits)}, 95 % interval {interval(one['ci95'], digits)}"
    if figures["unbiased"]:
        return f"On the {figures['items']} test items, which the choice has not seen: {written}."
    return f"On the {figures['items']} items that it was chosen by, so too good to quote: {written}."


def difference_sentence(sweep: Mapping[str, Any], column: str) -> str:
    """The paired difference to the baseline."""
    one, digits = sweep["figures"]["differences"].get(column), digits_of(sweep, column)
    if one is None:
        return f"No item has {column} in both the chosen point and the baseline."
    needed = one.get("more_items") if one["answer"] == "cannot tell" else None
    more = f"; about {needed} more items would tell" if needed else ""
    biased = "" if sweep["figures"]["unbiased"] else " (on the items that it was chosen by)"
    return (
        f"Against {sweep['baseline']}{biased}: {signed(one['difference'], digits)}, 95 % interval "
        f"{interval(one['ci95'], digits, sign=True)} over {one['pairs']} items: {one['answer']}{more}."
    )


def advice_sentence(sweep: Mapping[str, Any]) -> str:
    advice = sweep["advice"]
    return str(advice["says"]) + ("" if advice["unbiased"] else " On the items that the points were chosen by.")


def terminal_sweep(sweep: Mapping[str, Any]) -> Table:
    """Points by the primary column, best first, with their means on dev."""
    from rich.table import Table
    from rich.text import Text

    columns = [one["column"] for one in sweep["objectives"]]
    items = f"{sweep['items']} items" + (" to choose on" if sweep["split"] else "")
    title = f"{sweep['subject']} on {sweep['suite']['name']}: {items}"
    table = Table(title=Text(printable(title)), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for axis in sweep["axes"]:
        table.add_column(Text(printable(axis["name"])), justify="right", overflow="fold")
    for column in columns:
        table.add_column(Text(printable(column)), justify="right", overflow="fold")
    table.add_column("", overflow="fold")
    rows = ranked(sweep)
    for point in rows[:_LISTED]:
        cells = [Text(printable(shown(point["values"][axis["name"]]))) for axis in sweep["axes"]]
        cells += [Text(cell(sweep, point, column)) for column in columns]
        table.add_row(*cells, Text(printable(remark(point))), style="bold" if point["chosen"] else "")
    if len(rows) > _LISTED:
        table.caption = f"and {len(rows) - _LISTED} more in points.csv"
    return table


def ranked(sweep: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Points by their mean in the primary column, those that were measured whole first."""
    first = sweep["objectives"][0]
    sign = -1 if first["better"] == "higher" else 1

    def place(point: Mapping[str, Any]) -> tuple[bool, float]:
        one = point["dev"].get(first["column"])
        whole = point["status"] in ("ok", "blocked", "short")
        return (not whole or one is None, sign * one["mean"] if one else 0.0)

    return sorted(sweep["points"], key=place)


def remark(point: Mapping[str, Any]) -> str:
    """What there is to say of a point in its line."""
    said = []
    if point["chosen"]:
        said.append("chosen")
    if point["best"] and not point["chosen"]:
        said.append("best mean")
    if point["baseline"]:
        said.append("default" if point["swept"] else "default, not of the grid")
    if point["front"]:
        said.append("front")
    if point["status"] != "ok":
        said.append(point["why"] if point["status"] in ("pruned", "failed") else STATUS[point["status"]])
    return ", ".join(said)


def cell(sweep: Mapping[str, Any], point: Mapping[str, Any], column: str) -> str:
    one = point["dev"].get(column)
    if one is None:
        return MISSING
    return mean_text(one, digits_of(sweep, column))


def mean_text(one: Mapping[str, Any], digits: int) -> str:
    """A mean with its interval, where there is one."""
    mean = number(one["mean"], digits)
    return f"{mean} {interval(one['ci95'], digits)}" if one["ci95"] else mean


def digits_of(sweep: Mapping[str, Any], column: str) -> int:
    """So many digits for a column in the whole sweep."""
    unit = next((one["unit"] for one in sweep["objectives"] if one["column"] == column), "")
    means = [abs(point["dev"][column]["mean"]) for point in sweep["points"] if column in point["dev"]]
    return decimals({"unit": unit, "mean": max(means, default=0.0)})


def shown(value: object) -> str:
    """A value of an axis."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count} points"

"""`evalkit list`: what is installed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from evalkit.cli import options as o
from evalkit.cli.engines import TOO_WIDE, row
from evalkit.errors import EvalkitError
from evalkit.registry import ENGINES, MERGERS, METRICS, SUITES, unknown

# Too wide for a terminal; --json has them.
LEFT_OUT = {"metrics": ("source", "needs", "version"), "engines": TOO_WIDE}


def list_(
    what: Annotated[str, typer.Argument(help="suites, engines, metrics, mergers or presets (groups of layers).")],
    as_json: o.JsonOption = False,
) -> None:
    """List what is installed, plugins included: suites, engines, metrics, merge methods; or the presets of layers."""
    from evalkit.cli.show import print_rows

    makers = {"suites": _suites, "engines": _engines, "metrics": _metrics, "mergers": _mergers, "presets": _presets}
    if what not in makers:
        raise EvalkitError(unknown("list", what, makers))
    print_rows(what, makers[what](), as_json, left_out=LEFT_OUT.get(what, ()))


def _suites() -> list[dict[str, Any]]:
    from evalkit.suites import load_suite

    suites = [load_suite(name) for name in SUITES.names()]
    return [
        {
            "suite": s.name,
            "version": s.version,
            "items": len(s.items),
            "description": s.description,
            "sha256": s.sha256[:12],
        }
        for s in suites
    ]


def _engines() -> list[dict[str, Any]]:
    return [row(ENGINES.load(name).spec) for name in ENGINES.names()]


def _metrics() -> list[dict[str, Any]]:
    rows = []
    for name in METRICS.names():
        metric = METRICS.load(name)
        rows.append(
            {
                "metric": name,
                "version": metric.spec.version,
                "judge": metric.spec.judge,
                "columns": [column.name for column in metric.spec.columns],
                "needs": sorted(metric.spec.needs),
                "options": [f"{option}={spec.default}" for option, spec in metric.spec.options.items()],
                "runs": "on request" if metric.spec.on_request else "by default",
                "usable": metric.unavailable() or "yes",
                "source": metric.spec.source,
            }
        )
    return rows


def _mergers() -> list[dict[str, Any]]:
    from evalkit.merging.base import find_method

    methods = [find_method(name) for name in MERGERS.names()]
    return [
        {
            "method": method.name,
            "description": (method.function.__doc__ or "").strip().splitlines()[0],
            "base": "needed" if method.needs_base else "optional",
            "parents": _parents(*method.parents),
            "options": [f"{name}={option.default}" for name, option in method.options.items()],
        }
        for method in methods
    ]


def _parents(fewest: int, most: int | None) -> str:
    return f"{fewest} or more" if most is None else str(fewest) if fewest == most else f"{fewest} to {most}"


def _presets() -> list[dict[str, Any]]:
    from evalkit.merging.presets import FAMILIES

    return [
        {"checkpoints of": family.name, "preset": name, "tensors": ", ".join(family.describe(name))}
        for family in FAMILIES
        for name in family.presets
    ]

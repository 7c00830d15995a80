"""`evalkit audit`: is a metric repeatable, and does it follow quality rather than length, level or chance?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from evalkit.cli import options as o


def audit(
    metric: Annotated[str, typer.Argument(help="A metric, or one judge of it: dnsmos, wer.bundled, utmosv2.")],
    clips: Annotated[
        Path | None, typer.Option("--clips", help="Folder of clear speech; by default the clips of a checkout.")
    ] = None,
    ratings: Annotated[
        Path | None,
        typer.Option("--ratings", help="CSV of clips that people rated: audio, rating, system, text, reference."),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=2, help="How often the same clips are scored.")] = 10,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many clips of the folder are used.")] = 4,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An option of the metric (repeatable).")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the noise, the orders and the intervals.")] = 0,
    device: o.DeviceOption = "auto",
    out: Annotated[Path, typer.Option("--out", help="Folder that the page and its data go into.")] = Path("audits"),
    as_json: o.JsonOption = False,
) -> None:
    """Test METRIC itself: repeatability, bias by length, response to level and noise, agreement with human ratings.

    A verdict per column, the figures behind it, and a page with plots. Example:

        evalkit audit dnsmos --clips speech/ --ratings ratings.csv
    """
    import json
    import sys

    from evalkit.diagnostics.audit import audit_metric, metric_maker, write_audit
    from evalkit.pipeline.engine_setup import pick_device

    chosen = pick_device(device)
    found = audit_metric(
        metric_maker(metric, settings or [], chosen),
        clips,
        ratings,
        runs,
        limit,
        seed,
        chosen,
        lambda stage: print(f"{metric}: {stage} …", file=sys.stderr),
        out,
    )
    _, page = write_audit(found, out, metric)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        _print(found, page)


def _print(found: dict[str, Any], page: Path) -> None:
    from rich.console import Console

    from evalkit.cli.show import print_rows

    columns = found["columns"]
    rows = [
        {"column": name, **{key: result["verdict"] for key, result in column["properties"].items()}}
        for name, column in columns.items()
    ]
    print_rows(f"{found['metric']} ({found['judge']})", rows, as_json=False)
    console = Console(width=140)
    for name, column in columns.items():
        for result in column["properties"].values():
            if result["verdict"] in ("fail", "undecided"):
                console.print(f"{name}: {result['says']}", markup=False, highlight=False)
    console.print(found["overall"], markup=False, highlight=False, style="bold")
    console.print(f"Page: {page}", markup=False, highlight=False, soft_wrap=True)

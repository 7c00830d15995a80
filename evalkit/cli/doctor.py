"""`evalkit doctor`: can this machine do the work, and what to do if not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from evalkit.cli import options as o
from evalkit.registry import ENGINES, METRICS

LEAST_FREE_GB = 2.0


def doctor(out: o.OutOption = Path("runs"), as_json: o.JsonOption = False) -> None:
    """Check the device, packages, judges, engines and disk space, and say what to do next."""
    from evalkit.cli.show import print_rows

    rows = [_device(), *_packages(), *_judges(), *_engines(), _disk(out)]
    print_rows("doctor", rows, as_json)
    if not as_json:
        todo = [row["to do"] for row in rows if row["to do"]]
        print(
            "\nEverything is in place: evalkit run CHECKPOINT --suite smoke"
            if not todo
            else f"\n{len(todo)} thing(s) to do, see above."
        )


def _row(check: str, state: str, finding: str, todo: str | None = None) -> dict[str, Any]:
    return {"check": check, "state": state, "finding": finding, "to do": todo}


def _device() -> dict[str, Any]:
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return _row("device", "ok", f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB")
    return _row("device", "ok", f"CPU, {torch.get_num_threads()} threads; no CUDA device, so long suites take longer")


def _packages() -> list[dict[str, Any]]:
    from evalkit.pipeline.provenance import package_versions

    return [_row(f"package {name}", "ok", version) for name, version in package_versions().items()]


def _judges() -> list[dict[str, Any]]:
    classes = {name: METRICS.load(name) for name in METRICS.names()}
    problems = {name: metric.unavailable() for name, metric in classes.items()}
    usable = {name.split(".")[0] for name, problem in problems.items() if problem is None}
    rows = []
    for name, metric in classes.items():
        problem = problems[name]
        kind = f" ({metric.spec.judge} judge)" if metric.spec.judge != "none" else ""
        # Nothing has to be done about a judge for which another one stands in, or that runs on request only.
        optional = metric.spec.on_request or name.split(".")[0] in usable
        state = "ok" if problem is None else "optional" if optional else "missing"
        rows.append(_row(f"metric {name}", state, problem or f"usable{kind}", None if optional else problem))
    return rows


def _engines() -> list[dict[str, Any]]:
    from evalkit.engines.hosting import place_of
    from evalkit.errors import EvalkitError

    rows = []
    for name in ENGINES.names():
        try:
            spec = ENGINES.load(name).spec
            place = place_of(spec)
            where = place.problem or f"version {spec.version}, in {place.describe()}"
            # Nobody needs every engine: one without its environment is nothing to mend.
            rows.append(_row(f"engine {name}", "optional" if place.problem else "ok", where))
        except EvalkitError as error:
            rows.append(_row(f"engine {name}", "broken", str(error), "reinstall or uninstall the plugin"))
    return rows


def _disk(out: Path) -> dict[str, Any]:
    place = next(path for path in (out.resolve(), *out.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free / 2**30
    enough = free >= LEAST_FREE_GB
    return _row(
        "disk", "ok" if enough else "low", f"{free:.1f} GiB free at {place}", None if enough else "free some space"
    )

"""`evalkit fetch`: the weights of standard judges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from evalkit.cli import options as o
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from metrics.weights.catalogue import Judge
    from metrics.weights.download import Advance
    from metrics.weights.fetch import Fetched, Progress


def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Judges, such as whisper:base.en wespeaker:resnet34-lm."),
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option("--from", metavar="URL|PATH", help="http(s) mirror, folder or file to take them from."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Touch no network: check what is here and record its digests.")
    ] = False,
    lock: Annotated[
        Path | None,
        typer.Option(
            "--lock", help="Lock file to go by and to record into, made to be committed (or EVALKIT_JUDGES_LOCK)."
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the judges that there are, and which are here.")] = False,
    as_json: o.JsonOption = False,
) -> None:
    """Download the weights of standard judges, check them, and record what they were.

    A download goes on where it broke off. Files lie in EVALKIT_JUDGES, by default evalkit/judges in the user's cache.
    """
    from evalkit.cli.show import print_rows

    try:
        if list_:
            print_rows("judges", _catalogue(lock, as_json), as_json)
        elif names:
            results = _fetch_all(names, mirror, offline, lock, quiet=as_json)
            print_rows("judges", [_row(result, as_json) for result in results], as_json)
        else:
            raise EvalkitError("Name a judge, such as whisper:base.en; evalkit fetch --list shows what there is.")
    except ValueError as error:
        raise EvalkitError(str(error)) from error


def _fetch_all(names: list[str], mirror: str | None, offline: bool, lock: Path | None, quiet: bool) -> list[Fetched]:
    from evalkit.files import disk_errors
    from metrics.weights.catalogue import parse
    from metrics.weights.fetch import fetch
    from metrics.weights.store import judges_folder

    judges = [parse(name) for name in names]  # all names first: a typing error should not cost a download
    with _progress(quiet) as progress, disk_errors(judges_folder()):
        return [fetch(judge, progress, mirror=mirror, offline=offline, committed=lock) for judge in judges]


def _row(fetched: Fetched, as_json: bool) -> dict[str, Any]:
    weights = fetched.weights
    row = {
        "judge": weights.name,
        "state": fetched.state.value,
        "revision": weights.revision,
        "path": str(weights.path),
    }
    return {**row, "sha256": dict(weights.sha256)} if as_json else row


def _catalogue(lock: Path | None, as_json: bool) -> list[dict[str, Any]]:
    from metrics.weights.catalogue import KINDS, missing_carrier, names, parse

    rows = []
    for kind in KINDS:
        rows += [_listed(parse(f"{kind}:{name}"), lock, as_json) for name in names(kind)]
        if problem := missing_carrier(kind):
            rows.append({"judge": f"{kind}:...", "here": problem, "MB": None, "revision": None, "source": None})
    return rows


def _listed(judge: Judge, lock: Path | None, as_json: bool) -> dict[str, Any]:
    from metrics.weights.store import judge_folder, stored

    folder = judge_folder(judge)
    weights = stored(judge, lock)
    size = sum((folder / file).stat().st_size for file in weights.sha256) if weights else None
    return {
        "judge": judge.id,
        "here": "yes" if weights else "in part" if any(folder.glob("*")) else "no",
        "MB": round(size / 1e6, 1) if size is not None else None,
        "revision": weights.revision if weights else None,
        "source": judge.source if as_json or judge.repository else urlsplit(judge.source).netloc,
    }


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    """A bar per file while it arrives; nothing when not on a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    )

    class Bars:
        def waiting(self, judge: Judge) -> None:
            console.print(f"Another evalkit is fetching {judge.id}: waiting for it.", style="dim", highlight=False)

        def file(self, judge: Judge, name: str) -> Advance:
            task = bar.add_task(f"{judge.id} {name}", total=None, visible=False)

            def advance(done: int, total: int | None) -> None:
                bar.update(task, completed=done, total=total, visible=True)

            return advance

    with bar:
        yield Bars()

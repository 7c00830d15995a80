"""What a diagnosis says of single clips: checks on disk, flags in numbers, phones, and what can be listened to."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.diagnostics.corpus.decoding import decode
from evalkit.diagnostics.corpus.opening import Corpus
from evalkit.diagnostics.training.figures import ALL
from evalkit.diagnostics.training.flags import KINDS, Thresholds
from evalkit.diagnostics.training.measuring import Files
from evalkit.diagnostics.training.phone_coverage import PhoneCounter
from evalkit.diagnostics.training.rows import EVIDENCE, batches, evidence, near_copies_in
from evalkit.errors import EvalkitError
from reports.clips import Clip, clip_of

NAMED = 200  # clips of each kind that the diagnosis names, the worst first
_ROWS = 4096  # written at once


def write_checks(files: Files, rows: Iterable[Mapping[str, Any]]) -> None:
    """`checks.parquet`, part by part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        {
            "id": pa.string(),
            "near_copy_of": pa.string(),
            "speaker_cosine": pa.float64(),
            "nearest_speaker": pa.string(),
            "transcript": pa.string(),
            "flags": pa.list_(pa.string()),
            "severity": pa.list_(pa.float64()),
        }
    )
    temporary = files.checks.with_suffix(".tmp")
    with pq.ParquetWriter(temporary, schema) as writer:
        part: list[Mapping[str, Any]] = []
        for row in rows:
            part.append(row)
            if len(part) == _ROWS:
                writer.write_table(pa.Table.from_pylist(part, schema))
                part = []
        writer.write_table(pa.Table.from_pylist(part, schema))
    temporary.replace(files.checks)


def flag_summary(files: Files, thresholds: Thresholds | None = None) -> dict[str, Any]:
    """Flag -> count, hours, what it means, and the worst clips. Flags that no clip has are left out."""
    says = (thresholds or Thresholds()).says
    counts: dict[str, int] = {}
    seconds: dict[str, float] = {}
    worst: dict[str, list[tuple[float, int, str]]] = {}
    both = zip(_rows(files.checks, "id", "flags", "severity"), _rows(files.clips, "seconds"), strict=True)
    for place, (row, measured) in enumerate(both):
        for flag, severity in zip(row["flags"], row["severity"], strict=True):
            counts[flag] = counts.get(flag, 0) + 1
            seconds[flag] = seconds.get(flag, 0.0) + (measured["seconds"] or 0.0)
            named = worst.setdefault(flag, [])
            entry = (severity, -place, row["id"])
            (heapq.heappush if len(named) < NAMED else heapq.heappushpop)(named, entry)
    return {
        kind: {
            "count": counts[kind],
            "hours": seconds[kind] / 3600,
            "says": says(kind),
            "clips": [name for _, _, name in sorted(worst[kind], reverse=True)],
        }
        for kind in KINDS
        if kind in counts
    }


def phones_of(clips: Path, checks: Path | None = None) -> dict[str, Any]:
    """Speaker -> coverage of phones in the texts; of all under the name that figures give them. {} without texts.

    As in the figures, only texts of clips that are evidence count: nobody learns from a clip that cannot be read.
    """
    near = near_copies_in(checks)
    counters: dict[str, PhoneCounter] = {}
    whole = PhoneCounter()
    try:
        for batch in batches(clips, ["speaker", "text", *EVIDENCE]):
            first = evidence(batch, near)
            for speaker, text in zip(
                first.column("speaker").to_pylist(), first.column("text").to_pylist(), strict=True
            ):
                if text:
                    counters.setdefault(speaker, PhoneCounter()).add(text)
                    whole.add(text)
    except ImportError:  # the dictionary comes inside a package of the bundled judges
        return {}
    return {name: counter.coverage() for name, counter in counters.items()} | {ALL: whole.coverage()}


def play(files: Files, corpus: Corpus, ids: Sequence[str]) -> tuple[dict[str, Clip], dict[str, dict[str, Any]]]:
    """Audio and measured row of each clip that the page shows. Passes over the set until all are found."""
    wanted = set(ids)
    rows: dict[str, dict[str, Any]] = {}
    if not wanted:
        return {}, rows
    for table in (files.checks, files.clips):
        for batch in batches(table, _columns(table)):
            for place, name in enumerate(batch.column("id").to_pylist()):
                if name in wanted:
                    rows.setdefault(name, {}).update(batch.slice(place, 1).to_pylist()[0])
    players: dict[str, Clip] = {}
    try:
        for clip in corpus.clips():
            if clip.id in wanted and clip.id not in players:
                found = decode(clip)
                if found.samples is None:
                    players[clip.id] = Clip(problem=f"The audio {found.problem}.")
                else:
                    players[clip.id] = clip_of(found.samples, found.sample_rate)
            if len(players) == len(wanted):
                break
    except EvalkitError as error:  # the set changed meanwhile: the page says so in the clips' places
        players |= {name: Clip(problem=str(error)) for name in wanted - players.keys()}
    return players, rows


def _rows(table: Path, *columns: str) -> Iterator[dict[str, Any]]:
    """Row by row: tables of the same clips need not be cut into the same batches."""
    for batch in batches(table, columns):
        yield from batch.to_pylist()


def _columns(table: Path) -> Sequence[str]:
    import pyarrow.parquet as pq

    names: Sequence[str] = pq.read_schema(table).names
    return names

"""How often the starter gate blocks a checkpoint that lost nothing, and how often it catches one that lost something.

    OMP_NUM_THREADS=1 python benchmarks/decisions/false_alarms.py [--number 1000] [--jobs 2]
    … --keep runs/… runs/…    # first take the scores of other runs, whose takes together are an even number

The scores are real: one checkpoint on all items of indian-names, every item spoken several times with other seeds. A
resampling draws items with replacement, gives different takes of each item to the two sides, and has the real gate
judge one side against the other. Nothing was lost, so a blocked run is a false alarm. Then a loss is planted in one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.decisions.gate.judging import judge
from evalkit.decisions.gate.rules import starter_rules
from evalkit.decisions.gate.schema import Rules
from evalkit.decisions.scores import Meaning, Scores, open_scores

HERE = Path(__file__).parent
KEPT = HERE / "merged-indian-names.parquet"
RESULTS = HERE / "false_alarms.json"
COLUMNS = {
    "dnsmos_ovrl": Meaning("MOS", "higher", "dnsmos"),
    "pronunciation_accuracy": Meaning("", "higher", "pronunciation"),
    "speaker_similarity": Meaning("", "higher", "speaker_similarity"),
    "wer": Meaning("", "lower", "wer"),
    "clipping_ratio": Meaning("", "lower", "signal"),
}
SAME = 0
SIZES = {"indian-names": 190, "general": 60, "smoke": 10}
WORDS = {"nothing": "nothing", "dnsmos": "0.15 DNS-MOS on every clip", "pronunciation": "5 points of pronunciation"}
LOSSES = {"dnsmos": 0.15, "pronunciation": 0.05}

Row = dict[str, Any]
Takes = list[list[Row]]  # per item, its utterances
Plant = Callable[[list[Row], np.random.Generator], None]


@dataclass(frozen=True)
class Tally:
    """Of `number` resamplings: blocked, blocked with --strict, and those in which some rule could not tell."""

    number: int
    blocked: int
    strict: int
    undecided: int
    by_rule: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        shares = {name: getattr(self, name) / self.number for name in ("blocked", "strict", "undecided")}
        return {**shares, "blocked_ci95": interval(self.blocked, self.number), "by_rule": self.by_rule}


def takes_of(rows: Sequence[Row]) -> Takes:
    """The utterances of each item that was spoken well every time."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["item"], []).append(row)
    return [takes for takes in found.values() if all(row["status"] == "ok" for row in takes)]


def draw(takes: Takes, size: int, repeats: int, rng: np.random.Generator) -> tuple[list[Row], list[Row]]:
    """Two runs of `size` items drawn with replacement, with different takes of the same items.

    repeats: takes on each side; SAME: one take on both, as of an engine without chance.
    """
    ours: list[Row] = []
    theirs: list[Row] = []
    for place, index in enumerate(rng.integers(len(takes), size=size)):
        item = takes[index]
        order = rng.permutation(len(item))
        first, second = (order[:repeats], order[repeats : 2 * repeats]) if repeats != SAME else (order[:1], order[:1])
        for side, chosen in ((ours, first), (theirs, second)):
            side += [{**item[take], "item": f"{place:03d}-{item[take]['item']}"} for take in chosen]
    return ours, theirs


def lose_nothing(rows: list[Row], rng: np.random.Generator) -> None:
    """Two takes of the same checkpoint."""


def lose_quality(rows: list[Row], rng: np.random.Generator) -> None:
    """0.15 MOS on every clip."""
    for row in rows:
        row["dnsmos_ovrl"] -= LOSSES["dnsmos"]


def lose_names(rows: list[Row], rng: np.random.Generator) -> None:
    """Random names that were right become wrong until the mean accuracy has fallen by 5 points."""
    judged = [row for row in rows if row["pronunciation_accuracy"] is not None]
    right = [row for row in judged for _ in range(round(row["pronunciation_accuracy"] * row["names"]))]
    fallen, wanted = 0.0, LOSSES["pronunciation"] * len(judged)
    for index in rng.permutation(len(right)):
        row = right[index]
        step = 1 / row["names"]
        if fallen + step / 2 > wanted:
            break
        row["pronunciation_accuracy"] = max(0.0, row["pronunciation_accuracy"] - step)
        fallen += step


PLANTS: dict[str, Plant] = {"nothing": lose_nothing, "dnsmos": lose_quality, "pronunciation": lose_names}


def simulate(takes: Takes, rules: Rules, size: int, repeats: int, number: int, seed: int, plant: Plant) -> Tally:
    """Draw, plant and judge `number` times."""
    rng = np.random.default_rng(seed)
    blocked = strict = undecided = 0
    by_rule: dict[str, int] = {}
    for _ in range(number):
        ours, theirs = draw(takes, size, repeats, rng)
        plant(ours, rng)
        verdict = judge(_scores("ours", ours), rules, _scores("theirs", theirs))
        unsure = verdict["undecided"] > 0
        blocked += verdict["verdict"] == "blocked"
        strict += verdict["verdict"] == "blocked" or unsure
        undecided += unsure
        for rule in verdict["rules"]:
            if rule["blocks"]:
                by_rule[rule["name"]] = by_rule.get(rule["name"], 0) + 1
    return Tally(number, blocked, strict, undecided, by_rule)


def interval(count: int, number: int) -> list[float]:
    """Exact 95 % interval of a share."""
    from scipy.stats import binomtest

    found = binomtest(count, number).proportion_ci(0.95, "exact")
    return [float(found.low), float(found.high)]


def kept_rows(path: Path = KEPT) -> list[Row]:
    """The rows beside this file, as those of a run."""
    import pyarrow.parquet as pq

    return [
        {
            **row,
            "status": "ok",
            "spoken": None,
            "missing": {},
            "tags": row["tags"].split(),
            "details": {"wer_errors": row["wer_errors"], "wer_words": row["wer_words"]}
            | dict.fromkeys(("substitutions", "deletions", "insertions"), 0),
        }
        for row in pq.read_table(path).to_pylist()
    ]


def keep_rows(rows: Sequence[Row], path: Path = KEPT) -> None:
    """Write what the simulation needs of a run; utterances that failed are left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    good = [row for row in sorted(rows, key=lambda row: str(row["utterance"])) if row["status"] == "ok"]
    table = {name: pa.array([row.get(name) for row in good], pa.float32()) for name in COLUMNS}
    table |= {
        name: pa.array([row["details"][name] for row in good], pa.int16()) for name in ("wer_errors", "wer_words")
    }
    table["names"] = pa.array([len(row["details"].get("entities", ())) for row in good], pa.int8())
    table["item"] = pa.array([row["item"] for row in good])
    table["tags"] = pa.array([" ".join(tag for tag in row["tags"] if tag.startswith("fixture:")) for row in good])
    pq.write_table(pa.table(table), path, compression="zstd")


def _scores(name: str, rows: list[Row]) -> Scores:
    coverage = {"planned": len(rows), "ok": len(rows), "share": 1.0, "by_status": {"ok": len(rows)}}
    suite = {"name": "indian-names", "version": "-", "sha256": "-"}
    manifest = {"suite": suite, "reference": None, "passports": {one.metric: {} for one in COLUMNS.values()}}
    return Scores(name, name, rows, COLUMNS, coverage, manifest)


@dataclass(frozen=True)
class Setting:
    """One line of the table."""

    suite: str
    repeats: int
    loss: str

    def carry_out(self, number: int, seed: int) -> Tally:
        takes, rules = takes_of(kept_rows()), starter_rules(self.suite)
        return simulate(takes, rules, SIZES[self.suite], self.repeats, number, seed, PLANTS[self.loss])

    def line(self, tally: Tally) -> str:
        low, high = (100 * end for end in interval(tally.blocked, tally.number))
        shares = [100 * count / tally.number for count in (tally.blocked, tally.strict, tally.undecided)]
        said = f"**{shares[0]:.1f} %** ({low:.1f} to {high:.1f})"
        takes = "the same take" if self.repeats == SAME else str(self.repeats)
        cells = [self.suite, str(SIZES[self.suite]), takes, WORDS[self.loss], said]
        return "| " + " | ".join([*cells, f"{shares[1]:.1f} %", f"{shares[2]:.1f} %"]) + " |"


def _judges_names(suite: str) -> bool:
    return any(rule.column == "pronunciation_accuracy" for rule in starter_rules(suite).relative)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--keep",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="first renew the scores beside this file from runs of the same items with other seeds",
    )
    parser.add_argument("--suites", default=",".join(SIZES), help="whose gate and size to try")
    parser.add_argument("--repeats", default="1,2,0", help="takes of each item on each side; 0: the same")
    parser.add_argument("--number", type=int, default=1000, help="resamplings")
    parser.add_argument("--seed", type=int, default=20261128)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args(arguments)
    if chosen.keep is not None:
        keep_rows([row for run in chosen.keep for row in open_scores(run).rows])
    settings = [
        Setting(suite, repeats, loss)
        for suite in chosen.suites.split(",")
        for repeats in map(int, chosen.repeats.split(","))
        for loss in PLANTS
        if not (repeats == SAME and loss == "nothing")  # nothing to see: all differences are 0
        if loss != "pronunciation" or _judges_names(suite)
    ]
    print("| gate of | items | repeats | planted | blocked (95 % interval) | with --strict | cannot tell |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    found = []
    with ProcessPoolExecutor(chosen.jobs) as pool:
        tallies = pool.map(Setting.carry_out, settings, repeat(chosen.number), repeat(chosen.seed))
        for setting, tally in zip(settings, tallies, strict=True):
            print(setting.line(tally), flush=True)
            found.append({**asdict(setting), "items": SIZES[setting.suite], **tally.as_dict()})
    takes = takes_of(kept_rows())
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "scores": f"{KEPT.name}: {len(takes)} items of indian-names, {len(takes[0])} takes each",
        "number": chosen.number,
        "seed": chosen.seed,
        "found": found,
    }
    chosen.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

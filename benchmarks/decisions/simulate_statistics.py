"""How often the statistics of a decision are right: the tables of docs/statistics.md.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/decisions/simulate_statistics.py [--only coverage,power]

Everything is drawn from known distributions and seeded, so the same command prints the same figures.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from evalkit.decisions.answers import answer, holm
from evalkit.decisions.differences import Paired, paired, paired_ratio

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

MARGIN = 0.1
SHAPES: dict[str, Draw] = {  # differences of items with mean 0 and standard deviation 1
    "normal": lambda rng, n: rng.normal(size=n),
    "skewed": lambda rng, n: rng.exponential(size=n) - 1,
    "heavy tails": lambda rng, n: rng.standard_t(4, size=n) / math.sqrt(2),
    "one item in four": lambda rng, n: np.where(rng.random(n) < 0.25, rng.choice([-2.0, 2.0], n), 0.0),
}
SPEAKERS = {  # items of each
    "6 x 10": [10] * 6,
    "10 x 10": [10] * 10,
    "24 x 10": [10] * 24,
    "20, 2 x 10, 3 x 5": [20, 10, 10, 5, 5, 5],
    "40, 5 x 5": [40, *[5] * 5],
    "60, 7 x 3": [60, *[3] * 7],
    "100, 9 x 10": [100, *[10] * 9],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--only", help="names of tables, separated by commas")
    arguments = parser.parse_args()
    tables = {f.__name__: f for f in (coverage, speakers, corpus, power, more_items, false_alarms, equivalence)}
    for name in arguments.only.split(",") if arguments.only else tables:
        print(f"\n{(tables[name].__doc__ or name).strip()}\n", flush=True)
        for line in tables[name](arguments.draws):
            print(line, flush=True)


def measured(differences: Floats, speaker: dict[str, str] | None = None) -> Paired:
    names = [f"i{index}" for index in range(len(differences))]
    found = paired(
        {name: [value] for name, value in zip(names, differences, strict=True)},
        {name: [0.0] for name in names},
        speaker,
    )
    assert found is not None
    return found


def told(differences: Floats, tests: int = 1, margin: float | None = MARGIN) -> str:
    one = measured(differences)
    return answer(one, "higher", margin, one.p_both, tests).verdict


def share(hits: int, draws: int) -> str:
    return f"{hits / draws:.3f} ± {1.96 * math.sqrt(max(hits, 1) * (draws - hits + 1e-9)) / draws**1.5:.3f}"


def covers(found: Paired, truth: float) -> bool:
    return found.ci95 is not None and found.ci95[0] <= truth <= found.ci95[1]


def coverage(draws: int) -> Iterator[str]:
    """Coverage of the 95 % interval, and false alarms: it excludes 0 and p is below 5 %."""
    for shape, draw in SHAPES.items():
        for n in (6, 10, 20, 40, 100):
            rng = np.random.default_rng(n)
            found = [measured(draw(rng, n)) for _ in range(draws)]
            hit = sum(covers(one, 0) for one in found)
            wrong = sum(answer(one, "higher", None, one.p_both).verdict in ("better", "worse") for one in found)
            yield f"| {shape} | {n} | {share(hit, draws)} | {share(wrong, draws)} |"


def speakers(draws: int) -> Iterator[str]:
    """Coverage with speakers who gain differently (sd 0.5, items 1): by speaker, and ignoring speakers."""
    for shape, counts in SPEAKERS.items():
        rng = np.random.default_rng(len(counts))
        owner = np.repeat(np.arange(len(counts)), counts)
        names = {f"i{index}": f"s{speaker}" for index, speaker in enumerate(owner)}
        by_speaker = ignoring = 0
        for _ in range(draws):
            values = rng.normal(0, 0.5, len(counts))[owner] + rng.normal(0, 1, len(owner))
            by_speaker += covers(measured(values, names), 0)
            ignoring += covers(measured(values), 0)
        yield f"| {shape} | {share(by_speaker, draws)} | {share(ignoring, draws)} |"


def corpus(draws: int) -> Iterator[str]:
    """Coverage of the difference of two corpus word error rates, 10 % and 13 %, of items of 5 to 25 words."""
    for n in (12, 24, 60):
        rng = np.random.default_rng(n)
        hits = 0
        for _ in range(draws):
            words = rng.integers(5, 26, n)
            hard = rng.beta(2, 2, n) * 2  # both sides find the same items hard
            sides = []
            for rate in (0.13, 0.10):
                errors = rng.binomial(words, np.minimum(1, rate * hard))
                sides.append({f"i{k}": (float(errors[k]), float(words[k])) for k in range(n)})
            found = paired_ratio(*sides)
            assert found is not None
            hits += covers(found, 0.03)
        yield f"| {n} | {share(hits, draws)} |"


def power(draws: int) -> Iterator[str]:
    """How often a true difference of the size called detectable is found, at 5 % with nothing else tested."""
    for shape in ("normal", "skewed", "one item in four"):
        for n in (10, 24, 60):
            rng = np.random.default_rng(n)
            truth = float(t.ppf(0.975, n - 1) + t.ppf(0.8, n - 1)) / math.sqrt(n)
            hits = sum(told(SHAPES[shape](rng, n) + truth, margin=None) == "better" for _ in range(draws))
            yield f"| {shape} | {n} | {share(hits, draws)} |"


def more_items(draws: int) -> Iterator[str]:
    """Runs of 24 items that cannot tell (margin 0.1, sd 0.3, 5 tests): median advice, and how often that tells."""
    for truth in (0.0, MARGIN / 2, MARGIN, 1.5 * MARGIN):
        rng = np.random.default_rng(5)
        asked = tells = wrong = 0
        advised = []
        while asked < draws // 2:
            first = rng.normal(truth, 0.3, 24)
            one = measured(first)
            said = answer(one, "higher", MARGIN, min(1.0, 5 * one.p_both) if one.p_both is not None else None, 5)
            if said.verdict != "cannot tell" or said.more_items is None:
                continue
            asked += 1
            advised.append(said.more_items)
            again = measured(rng.normal(truth, 0.3, 24 + said.more_items))
            assert again.p_both is not None
            verdict = answer(again, "higher", MARGIN, min(1.0, 5 * again.p_both), 5).verdict
            tells += verdict != "cannot tell"
            wrong += verdict == "worse" or (verdict == "equivalent" and truth >= MARGIN)
        yield f"| {truth:g} | {np.median(advised):.0f} | {share(tells, asked)} | {share(wrong, asked)} |"


def false_alarms(draws: int) -> Iterator[str]:
    """Two runs that do not differ, over many columns: how often any column is called better or worse, after Holm."""
    for columns, alike in ((1, 0.0), (5, 0.0), (14, 0.0), (14, 0.8)):
        for n in (10, 24, 60):
            rng = np.random.default_rng(columns * 1000 + n)
            hits = 0
            for _ in range(draws // 2):
                common = rng.normal(size=n)
                kinds = list(SHAPES.values())
                found = [
                    measured(math.sqrt(alike) * common + math.sqrt(1 - alike) * kinds[k % len(kinds)](rng, n))
                    for k in range(columns)
                ]
                corrected = holm([one.p_both for one in found])
                verdicts = [
                    answer(one, "higher", None, p, columns).verdict for one, p in zip(found, corrected, strict=True)
                ]
                hits += any(verdict in ("better", "worse") for verdict in verdicts)
            yield f"| {columns}{' correlated' if alike else ''} | {n} | {share(hits, draws // 2)} |"


def equivalence(draws: int) -> Iterator[str]:
    """A true loss as large as the margin: how often it is called equivalent."""
    for shape, draw in SHAPES.items():
        for n in (10, 24, 60):
            rng = np.random.default_rng(n)
            scale = MARGIN * math.sqrt(n) / 4  # precise enough that no difference would be equivalent
            hits = sum(told(scale * draw(rng, n) - MARGIN) == "equivalent" for _ in range(draws))
            yield f"| {shape} | {n} | {share(hits, draws)} |"
    for n in (24, 60, 120):
        rng = np.random.default_rng(n)
        hits = sum(told(-(rng.random(n) < 0.04).astype(float), margin=0.04) == "equivalent" for _ in range(draws))
        yield f"| one item in 25 goes from 1 to 0, margin 0.04 | {n} | {share(hits, draws)} |"


if __name__ == "__main__":
    main()

"""Everything that a selection rests on, checked before the first checkpoint speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.decisions.scores import Meaning, Scores, open_scores
from evalkit.decisions.select.checkpoints import Training
from evalkit.decisions.select.losses import Loss, choose_losses, read_log
from evalkit.decisions.select.measure import Measure, find_measure
from evalkit.decisions.select.stages import plan_stages
from evalkit.errors import EvalkitError
from evalkit.pipeline.engine_setup import pick_device
from evalkit.pipeline.job import Options
from evalkit.pipeline.judges import Choice, choose, columns_of
from evalkit.pipeline.plan import select_items
from evalkit.pipeline.references import check_references, find_references
from evalkit.pipeline.speaking import Speaking
from evalkit.suites import Item, Suite, load_suite
from metrics import Column

if TYPE_CHECKING:
    from evalkit.decisions.gate.schema import Rules


@dataclass(frozen=True)
class Wish:
    """What a selection is asked for beyond how checkpoints speak and are scored.

    keep: share of the checkpoints that goes on after a stage; stages: None for as many as suit the items; loss_names:
    of the log's curves; min_coverage: share of utterances without which a checkpoint is out.
    """

    primary: str = "dnsmos_ovrl"
    rules: Path | None = None
    stages: int | None = None
    keep: float = 0.5
    losses: Path | None = None
    loss_names: tuple[str, ...] = ()
    margins: Mapping[str, float] | None = None
    min_coverage: float = 1.0


@dataclass(frozen=True)
class Ready:
    """A selection that can begin. meanings: of every column that the metrics compute."""

    suite: Suite
    items: Sequence[Item]
    stages: Sequence[Sequence[str]]
    measure: Measure
    meanings: Mapping[str, Meaning]
    rules: Rules | None
    baseline: Scores | None
    losses: Sequence[Loss]
    notices: tuple[str, ...]


def prepare(training: Training, speaking: Speaking, options: Options, wish: Wish) -> Ready:
    """Raises EvalkitError for whatever would be wrong with every checkpoint."""
    from evalkit.decisions.answers import MARGINS

    suite = load_suite(speaking.suite)
    items = select_items(suite.items, speaking.items, options.limit)
    choices = choose(options.metrics, options.judges, pick_device(options.device), options.settings, options.forced)
    columns = columns_of(choices)
    margins = wish.margins if wish.margins is not None else MARGINS
    measure = find_measure(wish.primary, columns, choices, margins, "--primary")
    _check_needs(measure, columns, items, training, options, choices)
    owners = {column.name: c.name for c in choices if c.metric for column in c.metric.spec.columns}
    meanings = {n: Meaning(c.unit, c.better, owners[n], c.description) for n, c in columns.items()}
    notices = [notice for notice in (training.notice,) if notice]
    losses: list[Loss] = []
    if wish.losses is not None:
        log = read_log(wish.losses)
        losses, said = choose_losses(log, training.unit, wish.loss_names)
        notices += [said] if said else []
        notices += [f"{log.skipped} logged values are no finite numbers, and left out."] if log.skipped else []
    elif wish.loss_names:
        raise EvalkitError(f"--loss {wish.loss_names[0]}: name the log with --losses.")
    return Ready(
        suite,
        items,
        plan_stages(items, wish.keep, wish.stages),
        measure,
        meanings,
        _rules(wish.rules, columns, items),
        open_scores(options.baseline) if options.baseline is not None else None,
        losses,
        tuple(notices),
    )


def _rules(path: Path | None, columns: Mapping[str, Column], items: Sequence[Item]) -> Rules | None:
    """The rules, if they can be judged on what will be spoken and computed."""
    if path is None:
        return None
    from evalkit.decisions.gate.fitting import check_rules
    from evalkit.decisions.gate.rules import read_rules

    rules = read_rules(path)
    check_rules(rules, columns, items)
    return rules


def _check_needs(
    measure: Measure,
    columns: Mapping[str, Column],
    items: Sequence[Item],
    training: Training,
    options: Options,
    choices: Sequence[Choice],
) -> None:
    """That the primary column can have values at all."""
    references = find_references(options.reference, None)
    check_references(references, choices)
    needs = columns[measure.column.removesuffix("_corpus") if measure.is_corpus else measure.column].needs
    if "entities" in needs and not any(item.entities for item in items):
        raise EvalkitError(f"--primary {measure.column}: no item of the suite has names in it; take another suite.")
    beside = references or any(find_references(None, one.path) for one in training.candidates)
    if "reference" in needs and not beside:
        raise EvalkitError(f"--primary {measure.column} needs the speaker's own clips: give them, --reference.")

"""evalkit: says whether a text-to-speech checkpoint got better, how sure that is, and why.

The public Python API:

    run_checkpoint    synthesise a suite with a checkpoint and score it (what `evalkit run` does)
    score_files       score audio that exists, planned by `plan_existing` (what `evalkit score` does)
    Speaking          how a suite is spoken: suite, items, engine, voice, options, repeats, seed
    Options           what both take: output folder, reference, judges, metrics, device, baseline
    load_suite        a suite by name or path
    read_checkpoint, merge_checkpoints, write_checkpoint
                      weights in, merged, and out again
    read_recipe, merge_files
                      a merge as a file says it (what `evalkit merge` does)
    MergeSession      many merges of the same checkpoints, in memory
    inspect_checkpoint, compare_vectors
                      what a checkpoint is, and whether several can be merged (what `evalkit inspect` says)
    open_run, read_scores
                      a finished run and its rows
    open_scores, compare
                      runs (or tables of scores), and what differs between them (what `evalkit compare` says)
    read_rules, starter_rules, judge
                      the gate: rules, and the verdict on a run (what `evalkit gate` says)
    diagnose_set      what a training set promises for a fine-tune (what `evalkit diagnose` says)
    EvalkitError      every error that a user can mend

Names are imported when they are first used, so that `import evalkit` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from evalkit.checkpoints import read_checkpoint, write_checkpoint
    from evalkit.checkpoints.inspection import compare_vectors, inspect_checkpoint
    from evalkit.decisions.comparison import compare
    from evalkit.decisions.gate.judging import judge
    from evalkit.decisions.gate.rules import read_rules, starter_rules
    from evalkit.decisions.scores import open_scores
    from evalkit.diagnostics.training.diagnosing import diagnose_set
    from evalkit.errors import EvalkitError
    from evalkit.merging import merge_checkpoints
    from evalkit.merging.files import merge_files
    from evalkit.merging.recipe import read_recipe
    from evalkit.merging.session import MergeSession
    from evalkit.pipeline.existing import plan_existing
    from evalkit.pipeline.job import Options
    from evalkit.pipeline.run import run_checkpoint, score_files
    from evalkit.pipeline.speaking import Speaking
    from evalkit.runs.folder import open_run
    from evalkit.runs.table import read_scores
    from evalkit.suites import load_suite

_HOMES = {
    "EvalkitError": "evalkit.errors",
    "MergeSession": "evalkit.merging.session",
    "Options": "evalkit.pipeline.job",
    "Speaking": "evalkit.pipeline.speaking",
    "compare": "evalkit.decisions.comparison",
    "compare_vectors": "evalkit.checkpoints.inspection",
    "diagnose_set": "evalkit.diagnostics.training.diagnosing",
    "inspect_checkpoint": "evalkit.checkpoints.inspection",
    "judge": "evalkit.decisions.gate.judging",
    "load_suite": "evalkit.suites",
    "merge_checkpoints": "evalkit.merging",
    "merge_files": "evalkit.merging.files",
    "open_run": "evalkit.runs.folder",
    "open_scores": "evalkit.decisions.scores",
    "plan_existing": "evalkit.pipeline.existing",
    "read_checkpoint": "evalkit.checkpoints",
    "read_recipe": "evalkit.merging.recipe",
    "read_rules": "evalkit.decisions.gate.rules",
    "read_scores": "evalkit.runs.table",
    "run_checkpoint": "evalkit.pipeline.run",
    "score_files": "evalkit.pipeline.run",
    "starter_rules": "evalkit.decisions.gate.rules",
    "write_checkpoint": "evalkit.checkpoints",
}

__all__ = [
    "EvalkitError",
    "MergeSession",
    "Options",
    "Speaking",
    "compare",
    "compare_vectors",
    "diagnose_set",
    "inspect_checkpoint",
    "judge",
    "load_suite",
    "merge_checkpoints",
    "merge_files",
    "open_run",
    "open_scores",
    "plan_existing",
    "read_checkpoint",
    "read_recipe",
    "read_rules",
    "read_scores",
    "run_checkpoint",
    "score_files",
    "starter_rules",
    "write_checkpoint",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evalkit' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)

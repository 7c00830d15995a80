"""The conformance suite: a table of checks, run one by one. None of them can be brought down by a bad engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from evalkit.engines.base import Engine, Example
from evalkit.engines.conformance import bad_input, batching, declaring, loading, speaking, streaming, voices
from evalkit.engines.conformance.findings import FaultError, Finding, NotApplicableError
from evalkit.engines.conformance.trial import Trial, first_line
from evalkit.errors import EvalkitError

# A check returns what it found or raises FaultError or NotApplicableError; its docstring says what it holds.
CHECKS: Mapping[str, Callable[[Trial], str]] = {
    "spec": declaring.declared,
    "imports": declaring.imports,
    "read_back": loading.read_back,
    "digest": loading.digest,
    "strict": loading.strict,
    "sections": loading.sections,
    "replaces": loading.replaces,
    "broken_file": loading.broken_file,
    "no_checkpoint": loading.no_checkpoint,
    "audio": speaking.audio,
    "length": speaking.length,
    "repeat": speaking.repeat,
    "seeds": speaking.seeds,
    "random_state": speaking.random_state,
    "order": batching.order,
    "batches": batching.batches,
    "options": batching.options,
    "largest_batch": batching.largest_batch,
    "texts": bad_input.texts,
    "bad_options": bad_input.bad_options,
    "phonemes": speaking.phonemes,
    "voice": voices.voice,
    "no_voice": voices.no_voice,
    "streaming": streaming.streaming,
}


def check(make: Callable[[], Engine], example: Example, only: Collection[str] = ()) -> list[Finding]:
    """Hold an engine to the protocol and to its own spec.

    make: gives a fresh engine, set up where it needs that (`prepare`) but without weights; it is called twice. only:
    names of CHECKS to run, all by default. Whatever the engine raises is a finding. Raises EvalkitError for a name
    that is no check. Engines that were made are closed.
    """
    if unknown := sorted(set(only) - CHECKS.keys()):
        raise EvalkitError(f"There is no check '{unknown[0]}' of engines; there are {', '.join(CHECKS)}.")
    trial = Trial(make, example)
    try:
        return [_finding(name, run, trial) for name, run in CHECKS.items() if not only or name in only]
    finally:
        trial.close()


def assert_conforms(make: Callable[[], Engine], example: Example, only: Collection[str] = ()) -> None:
    """`check`, for a test: raises AssertionError with every failed finding, a line each."""
    if failed := [str(finding) for finding in check(make, example, only) if finding.ok is False]:
        raise AssertionError(f"{len(failed)} checks failed:\n" + "\n".join(failed))


def _finding(name: str, run: Callable[[Trial], str], trial: Trial) -> Finding:
    try:
        trial.engine  # noqa: B018  (an engine that cannot be loaded fails once, not in every check)
        return Finding(name, True, run(trial))
    except NotApplicableError as why:
        return Finding(name, None, str(why))
    except FaultError as fault:
        return Finding(name, False, str(fault))
    except Exception as error:
        return Finding(name, False, f"raised {first_line(error)}")

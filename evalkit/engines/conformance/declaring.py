"""Checks of the spec: complete, true of the example, and readable where the engine's packages are not installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from evalkit.checkpoints import recognise
from evalkit.engines.base import (
    Engine,
    EngineSpec,
    Environment,
    FileEngine,
    SetUpEngine,
    StreamingEngine,
)
from evalkit.engines.conformance.findings import FaultError, NotApplicableError
from evalkit.engines.conformance.trial import Trial
from evalkit.registry import ENGINES
from metrics.options import check_values

SHARED = {"evalkit", "metrics", "numpy", "safetensors", "torch"}  # what an engine's module may import
IMPORT_S = 300.0

# Refuses what must not be imported, and notes who asked, even inside a try: whether it is installed does not matter.
PROBE = """
import importlib, json, sys
wanted = []
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            wanted.append(name)
            raise ModuleNotFoundError(name + " must not be imported with the engine's module", name=name)
sys.meta_path.insert(0, Refusing())
try:
    module = importlib.import_module({module!r})
    said = ""
except Exception as error:
    said = type(error).__name__ + ": " + str(error)
print(json.dumps([wanted, said]))
"""


def declared(trial: Trial) -> str:
    """The spec is complete and consistent, and its layouts recognise the example's checkpoint."""
    engine, spec = trial.engine, trial.spec
    if not isinstance(engine, Engine):
        missing = [name for name in ("load", "weights", "prepare_voice", "synthesize") if not hasattr(engine, name)]
        raise FaultError(f"the engine lacks {', '.join(missing)}")
    if empty := [name for name in ("name", "version", "front_end") if not getattr(spec, name)]:
        raise FaultError(f"the spec has no {', '.join(empty)}")
    if spec.sample_rate < 1 or spec.max_batch < 1:
        raise FaultError(f"the spec says sample_rate={spec.sample_rate}, max_batch={spec.max_batch}")
    if spec.needs_voice and not (spec.voice and trial.example.voice):
        raise FaultError(
            "the spec says needs_voice=True, so spec.voice must say what it is and the example must have one"
        )
    if lacking := _methods_lacking(engine, spec):
        raise FaultError(lacking)
    for name, option in spec.options.items():
        try:
            check_values(spec.name, spec.options, **{name: option.default})
        except ValueError as error:
            raise FaultError(f"the default does not fit: {error}") from error
    if isinstance(notes := getattr(engine, "notes", ()), str) or not all(isinstance(note, str) for note in notes):
        raise FaultError("notes must be a sequence of sentences")
    if spec.weights == "tensors" and recognise(trial.weights, {spec.name: spec.layouts}) != spec.name:
        raise FaultError("the spec's layouts do not recognise the example's checkpoint")
    return f"{spec.name} {spec.version}, {spec.sample_rate} Hz"


def imports(trial: Trial) -> str:
    """The engine's module, and so its spec, imports without any of the packages of its environment."""
    environment = trial.spec.environment
    if environment is None:
        raise NotApplicableError("the engine has no environment of its own")
    module = _module_of(trial.engine)
    _check_requirements(environment)
    blocked = modules_of(environment)
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(blocked=blocked, module=module)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=IMPORT_S,
        check=False,
    )
    if done.returncode:
        raise FaultError(
            f"importing {module} ends its process: {(done.stderr.strip().splitlines() or ['no word'])[-1]}"
        )
    wanted, said = json.loads(done.stdout.splitlines()[-1])
    if wanted:
        raise FaultError(f"importing {module} imports {', '.join(dict.fromkeys(wanted))}")
    if said:
        raise FaultError(f"importing {module} raises {said}")
    return f"{module} imports none of {', '.join(sorted(blocked))}"


def modules_of(environment: Environment) -> set[str]:
    """Top-level modules of an environment's packages: as installed, else the distribution's name with underscores."""
    installed: dict[str, set[str]] = {}
    for module, distributions in importlib.metadata.packages_distributions().items():
        for distribution in distributions:
            installed.setdefault(_normal(distribution), set()).add(module)
    names = {_normal(distribution) for distribution in environment.packages}
    return set().union(*(installed.get(name, {name}) for name in names)) - SHARED


def _normal(distribution: str) -> str:
    return distribution.lower().replace("-", "_").replace(".", "_")


def _module_of(engine: Engine) -> str:
    """Where the registered class is, else where this object's class is: an engine in a worker is seen by a stand-in."""
    entry = ENGINES.entries().get(engine.spec.name)
    module = entry.module if entry else type(engine).__module__
    if module == "__main__":
        raise NotApplicableError("the engine is defined in a script, which cannot be imported")
    return module


def _check_requirements(environment: Environment) -> None:
    module, _, file = environment.requirements.partition(":")
    found = importlib.util.find_spec(module)
    if not file or found is None or not found.origin or not (Path(found.origin).parent / file).is_file():
        raise FaultError(f"the environment's requirements '{environment.requirements}' name no file beside a module")


def _methods_lacking(engine: Engine, spec: EngineSpec) -> str:
    wanted = {
        "set_up": (bool(spec.assets), isinstance(engine, SetUpEngine)),
        "stream": (spec.streaming, isinstance(engine, StreamingEngine)),
        "load_file": (spec.weights == "file", isinstance(engine, FileEngine)),
    }
    missing = [name for name, (needed, there) in wanted.items() if needed and not there]
    return f"what the spec declares needs the method {', '.join(missing)}" if missing else ""

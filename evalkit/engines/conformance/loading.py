"""Checks of loading: strict, complete, read back bit for bit, and part of the sound."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from evalkit.engines.base import FileEngine
from evalkit.engines.conformance.comparing import CHANGED, apart, difference
from evalkit.engines.conformance.findings import FaultError, NotApplicableError
from evalkit.engines.conformance.trial import Trial, first_line
from evalkit.errors import EvalkitError, some

TRIED = 6  # tensors of a section that are changed before it is called ignored
RENAMED = "renamed_by_conformance"


class BadLoad(NamedTuple):
    """Weights that must be refused, and names of which the refusal must hold one."""

    what: str
    weights: dict[str, Tensor]
    names: tuple[str, ...]


def read_back(trial: Trial) -> str:
    """`weights()` gives what was loaded: the same keys, float32, bit for bit."""
    trial.need_tensors()
    found, given = trial.engine.weights(), trial.weights
    if missing := sorted(given.keys() - found.keys()):
        raise FaultError(f"weights() lacks {some(missing)}")
    if extra := sorted(found.keys() - given.keys()):
        raise FaultError(f"weights() has what was never loaded: {some(extra)}")
    if other := [key for key in given if found[key].dtype != given[key].dtype]:
        raise FaultError(f"weights() has another type than what was loaded: {some(other)}")
    if changed := [key for key in given if not _same_bits(found[key], given[key])]:
        raise FaultError(f"weights() differs from what was loaded in {some(changed)}")
    return f"{len(given)} tensors"


def digest(trial: Trial) -> str:
    """The digest is the same for the same weights and another one when one element of any section changes."""
    if trial.spec.weights == "none":
        raise NotApplicableError("the engine has no weights")
    first, again = trial.load(trial.other), trial.load(trial.other)
    if not isinstance(first, str) or not first:
        raise FaultError(f"the digest is {first!r}")
    if first != again:
        raise FaultError("loading the same weights twice gives two digests")
    if trial.spec.weights == "file":
        return "the same at a second load"
    for section, keys in trial.sections.items():
        key = next((key for key in keys if trial.weights[key].is_floating_point()), None)
        if key and trial.load(trial.other, trial.weights | {key: _one_element(trial.weights[key])}) == first:
            raise FaultError(f"one changed element of '{key}' (section '{section}') leaves the digest as it is")
    return f"differs for one changed element in each of {len(trial.sections)} sections"


def strict(trial: Trial) -> str:
    """Tensors missing, extra, mis-shaped or renamed, or a section absent: refused by name, and nothing changes."""
    trial.need_tensors()
    engine = trial.other
    trial.load(engine)
    wrong = [fault for bad in bad_loads(trial) if (fault := _accepted(trial, bad))]
    if wrong:
        raise FaultError("; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""))
    kept = engine.weights()
    if changed := [key for key, tensor in trial.weights.items() if not _same_bits(kept[key], tensor)]:
        raise FaultError(f"refused weights replaced what was loaded before: {some(changed)}")
    index = trial.shortest
    speech = trial.one(trial.request(index, engine), engine)
    if difference(speech, trial.alone(index)):
        raise FaultError(f"after refused loads the speech is another one: {apart(speech, trial.alone(index))}")
    return f"{sum(1 for _ in bad_loads(trial))} bad loads refused"


def replaces(trial: Trial) -> str:
    """A second load replaces the first: nothing of the weights in between is left, not even in a cache."""
    trial.need_tensors()
    trial.load(trial.other, {key: _shaken(tensor, seed=1) for key, tensor in trial.weights.items()})
    index = trial.shortest
    trial.one(trial.request(index, trial.other), trial.other)
    trial.load(trial.other)
    speech = trial.one(trial.request(index, trial.other), trial.other)
    if difference(speech, trial.alone(index)):
        raise FaultError(f"after other weights were loaded in between, {apart(speech, trial.alone(index))}")
    return "the same speech after other weights in between"


def sections(trial: Trial) -> str:
    """A changed tensor in each section changes the speech: none is left at random values."""
    trial.need_tensors()
    if ignored := [section for section, keys in trial.sections.items() if not _matters(trial, keys)]:
        raise FaultError(f"no changed tensor of {some(ignored)} changes the speech; these weights are not used")
    return f"heard in each of {len(trial.sections)} sections ({some(list(trial.sections))})"


def broken_file(trial: Trial) -> str:
    """A checkpoint file that is cut short is refused, where the engine's runtime reads the file itself."""
    if trial.spec.weights != "file":
        raise NotApplicableError(f'evalkit reads the checkpoint (spec.weights is "{trial.spec.weights}")')
    path, engine = trial.example.checkpoint, trial.other
    if path is None or not isinstance(engine, FileEngine):
        raise FaultError("the example has no checkpoint")
    if not path.is_file():
        raise NotApplicableError("the example's checkpoint is a folder")
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder) / path.name
        for size in (0, path.stat().st_size // 2):
            cut.write_bytes(path.read_bytes()[:size])
            try:
                engine.load_file(cut)
            except EvalkitError:
                continue
            raise FaultError(f"a file cut to {size} bytes was loaded")
    return "a cut and an empty file are refused"


def no_checkpoint(trial: Trial) -> str:
    """An engine without weights refuses tensors and has none."""
    if trial.spec.weights != "none":
        raise NotApplicableError("the engine has weights")
    if held := trial.engine.weights():
        raise FaultError(f'the spec says weights="none", but weights() gives {some(list(held))}')
    try:
        trial.engine.load({"a.weight": torch.zeros(1)})
    except EvalkitError:
        return "load is refused"
    raise FaultError('the spec says weights="none", but load accepted a tensor')


def bad_loads(trial: Trial) -> Iterator[BadLoad]:
    weights = trial.weights
    for section, keys in trial.sections.items():
        matrices = [key for key in keys if weights[key].ndim > 1] or keys
        for key in dict.fromkeys((matrices[0], matrices[-1])):
            yield BadLoad(f"without '{key}'", _without(weights, key), (key,))
        key = matrices[0]
        first, *rest = key.split(".")
        renamed = ".".join([first, RENAMED, *rest])
        yield BadLoad(f"with '{key}' renamed", _without(weights, key) | {renamed: weights[key]}, (key, renamed))
        for shape, tensor in _misshapen(weights[key]).items():
            # An engine may read its sizes off the shapes: then it is the neighbours that do not fit.
            yield BadLoad(f"with '{key}' {shape}", weights | {key: tensor}, tuple(weights))
        yield BadLoad(f"without the section '{section}'", _without(weights, *keys), (section,))
    yield BadLoad("with an extra tensor", weights | {f"{key}.{RENAMED}": torch.zeros(2)}, (RENAMED,))


def _accepted(trial: Trial, bad: BadLoad) -> str:
    """What is wrong about how weights that do not fit were taken; "" if they were refused by name."""
    try:
        trial.other.load(bad.weights)
    except EvalkitError as error:
        named = any(name in str(error) for name in bad.names)
        return "" if named else f"weights {bad.what} are refused without naming it ({first_line(error)})"
    except Exception as error:
        return f"weights {bad.what} raise {type(error).__name__} instead of EvalkitError"
    trial.load(trial.other)
    return f"weights {bad.what} are loaded"


def _misshapen(tensor: Tensor) -> dict[str, Tensor]:
    if not tensor.ndim:
        return {"of shape [3]": tensor.new_zeros(3)}
    found = {"with a row too many": torch.cat([tensor, tensor[:1]])}
    if tensor.shape[0] > 1:
        found["cut to its first row"] = tensor[:1].clone()  # Tensor.copy_ would spread it over all rows
    return found


def _matters(trial: Trial, keys: list[str]) -> bool:
    index = trial.shortest
    floating = [key for key in keys if trial.weights[key].is_floating_point()]
    for seed, key in enumerate(floating[:TRIED]):
        trial.load(trial.other, trial.weights | {key: _shaken(trial.weights[key], seed)})
        if difference(trial.one(trial.request(index, trial.other), trial.other), trial.alone(index)) > CHANGED:
            return True
    return not floating


def _shaken(tensor: Tensor, seed: int) -> Tensor:
    """Changed by a third of its own spread; one lone number by half of itself."""
    if not tensor.is_floating_point():
        return tensor
    if tensor.numel() < 2 or not float(spread := tensor.std()):
        return tensor * 1.5 + (tensor == 0) * 0.5
    return tensor + spread / 3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(seed))


def _one_element(tensor: Tensor) -> Tensor:
    """The last element changed by a thirty-second, which even bfloat16 tells."""
    flat = tensor.clone().reshape(-1)
    flat[-1] = flat[-1] * (1 + 1 / 32) if float(flat[-1]) else 1 / 32
    return flat.reshape(tensor.shape)


def _same_bits(a: Tensor, b: Tensor) -> bool:
    a, b = a.detach().cpu(), b.detach().cpu()
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(_bits(a), _bits(b))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _without(weights: Mapping[str, Tensor], *keys: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in weights.items() if key not in keys}

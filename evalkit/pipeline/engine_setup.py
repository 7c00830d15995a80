"""From a checkpoint on disk to an engine that speaks with it, or one sentence why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from evalkit.checkpoints import fingerprint, non_finite, recognise, section_of
from evalkit.engines import Engine, EngineSpec, Setup
from evalkit.engines.base import SetUpEngine
from evalkit.engines.hosting import start, stop
from evalkit.engines.remote import UTTERANCE_S, RemoteEngine
from evalkit.engines.setting_up import asset_digests, resolve
from evalkit.errors import EvalkitError
from evalkit.files import folder_of
from evalkit.pipeline.weights import Made, Weights, read_weights
from evalkit.registry import ENGINES


@dataclass(frozen=True)
class LoadedEngine:
    """An engine ready to speak. setup: its options and assets; checkpoint: what the manifest says of the weights."""

    engine: Engine
    setup: Setup
    checkpoint: Mapping[str, Any] | None

    def identity(self) -> dict[str, Any]:
        """What the speech depends on beside the weights and the voice."""
        spec = self.engine.spec
        said = dict(getattr(self.engine, "identity", {}))
        assets = asset_digests(self.setup)
        return {
            "name": spec.name,
            "version": spec.version,
            "front_end": spec.front_end,
            "sample_rate": spec.sample_rate,
            "options": {name: value for name, value in self.setup.options.items() if name not in spec.operating},
            **({"assets": assets} if assets else {}),
            **({"identity": said} if said else {}),
        }

    def record(self) -> dict[str, Any]:
        """What the manifest says of where and how it runs, beside its identity."""
        engine: Any = self.engine
        ran_by = {"process": "worker", **engine.versions} if isinstance(engine, RemoteEngine) else {"process": "own"}
        return {
            "runs_in": ran_by,
            **({"files": {n: str(path) for n, path in self.setup.assets.items()}} if self.setup.assets else {}),
            **({"notes": list(engine.notes)} if getattr(engine, "notes", ()) else {}),
        }


def pick_device(name: str) -> str:
    """ "auto" is the GPU where there is one. Raises EvalkitError when a GPU is asked for and there is none."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EvalkitError(f"Unknown device '{name}': give auto, cpu or cuda.") from error
    if device.type not in ("cpu", "cuda"):
        raise EvalkitError(f"--device {name}: evalkit runs on cpu or cuda.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EvalkitError("--device cuda: no CUDA device is usable here; give --device cpu, or see evalkit doctor.")
    return name


class EngineKeeper:
    """Keeps the last engine running for the next checkpoint that wants the same one: a start can take minutes.

    Used as a context; at its end the engine stops.
    """

    def __init__(self) -> None:
        self._key: object = None
        self._held: Any = None  # (engine, setup)

    def started(self, *wanted: Any) -> Any:
        """(engine, setup) as `_started` gives them, of an earlier call that wanted the same."""
        if self._held is None or self._key != wanted:
            self.close()
            self._key, self._held = wanted, _started(*wanted)
        return self._held

    def holds(self, engine: Engine) -> bool:
        return self._held is not None and self._held[0] is engine

    def close(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            stop(held[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load_engine(
    subject: Path | Made | None,
    engine: str | None,
    device: str,
    settings: Sequence[str],
    base: Path | None = None,
    utterance_s: float = UTTERANCE_S,
    keeper: EngineKeeper | None = None,
) -> LoadedEngine:
    """Read, check and load a checkpoint, an adapter on its base, or a recipe; or set up an engine that needs none.

    subject: also weights in memory. engine: its name, or "NAME: ARGUMENT", or an address, or None to tell it from the
    weights; utterance_s: how long one utterance may take in a process of its own; keeper: holds an engine that loads
    tensors for the next call. Raises EvalkitError on every way in which that can go wrong.
    """
    name, said = named_engine(engine)
    settings = (*said, *settings)
    if isinstance(subject, Made):
        return _from_tensors(Path(subject.name), subject.weights, name, device, settings, utterance_s, keeper)
    path = subject
    if name is not None and ENGINES.load(name).spec.weights == "none":
        if path is not None:
            raise EvalkitError(f"The engine '{name}' takes no checkpoint: leave {path} out.")
        return _prepared(name, device, settings, utterance_s)
    if path is None:
        raise EvalkitError("Name a checkpoint, or an engine that needs none, such as --engine espeak-ng.")
    reader = name if name is not None and ENGINES.load(name).spec.weights == "file" else reader_of(path)
    if reader is not None:
        return _from_file(path, reader, device, settings, utterance_s)
    with _about(path):
        weights = read_weights(path, base)
    return _from_tensors(path, weights, name, device, settings, utterance_s, keeper)


def named_engine(text: str | None) -> tuple[str | None, tuple[str, ...]]:
    """What --engine says: `"command: mytts {text}"` -> ("command", ("template=mytts {text}",)).

    An address is the engine "http". Raises EvalkitError for an argument that the engine does not take.
    """
    if text is None or ":" not in text:
        return text, ()
    if text.startswith(("http://", "https://")):
        return "http", (f"{ENGINES.load('http').spec.argument}={text}",)
    name, _, argument = (part.strip() for part in text.partition(":"))
    option = ENGINES.load(name).spec.argument
    if not option:
        raise EvalkitError(f"--engine '{text}': the engine '{name}' takes nothing behind a colon.")
    return name, (f"{option}={argument}",)


def known_layouts() -> dict[str, Any]:
    """Engine -> its layouts, of the engines that take tensors."""
    specs: dict[str, EngineSpec] = {name: ENGINES.load(name).spec for name in ENGINES.names()}
    return {name: spec.layouts for name, spec in specs.items() if spec.weights == "tensors"}


def reader_of(path: Path) -> str | None:
    """The engine whose runtime reads files of this kind itself."""
    suffix = path.suffix.lower()
    names = ENGINES.names() if suffix else []
    return next((name for name in names if suffix in ENGINES.load(name).spec.suffixes), None)


def _started(name: str, device: str, settings: Sequence[str], near: Sequence[Path], utterance_s: float) -> Any:
    """(engine, setup): an engine that is set up, and not loaded."""
    spec: EngineSpec = ENGINES.load(name).spec
    setup = resolve(spec, settings, near)
    named = setup.options.get("python") if "python" in spec.options else None
    engine = start(name, device, utterance_s, Path(str(named)) if named else None)
    if isinstance(engine, SetUpEngine):
        with _closing_on_error(engine):
            engine.set_up(setup)
    return engine, setup


def _prepared(name: str, device: str, settings: Sequence[str], utterance_s: float) -> LoadedEngine:
    engine, setup = _started(name, device, settings, (), utterance_s)
    return LoadedEngine(engine, setup, None)


def _from_file(path: Path, name: str, device: str, settings: Sequence[str], utterance_s: float) -> LoadedEngine:
    if not path.exists():
        raise EvalkitError(f"The checkpoint {path} does not exist.")
    engine, setup = _started(name, device, settings, (folder_of(path),), utterance_s)
    with _about(path), _closing_on_error(engine):
        digest = engine.load_file(path.absolute())
    return LoadedEngine(
        engine,
        setup,
        {
            "name": path.name,
            "path": str(path),
            "format": path.suffix.lstrip("."),
            "fingerprint": digest,
            "loaded_digest": digest,
        },
    )


def _from_tensors(
    path: Path,
    weights: Weights,
    name: str | None,
    device: str,
    settings: Sequence[str],
    utterance_s: float,
    keeper: EngineKeeper | None,
) -> LoadedEngine:
    broken = non_finite(weights.tensors)
    if broken:
        raise EvalkitError(
            f"{path} holds NaN or Inf in {len(broken)} tensor(s), first {broken[0]}: "
            "the checkpoint is broken; make it again."
        )
    with _about(path):
        name = name or recognise(weights.tensors.keys(), known_layouts())
    begin = keeper.started if keeper is not None else _started
    engine, setup = begin(name, device, settings, weights.near, utterance_s)
    with _about(path), _closing_on_error(engine, keeper):
        loaded = engine.load(weights.tensors)
    return LoadedEngine(
        engine,
        setup,
        {
            "name": path.name,
            "path": str(path),
            **weights.record,
            "layout": ",".join(layout.name for layout in engine.spec.layouts),
            "fingerprint": fingerprint(weights.tensors),
            "loaded_digest": loaded,
            "parameters": sum(tensor.numel() for tensor in weights.tensors.values()),
            "sections": _section_sizes(weights.tensors),
            "weight_norm_folded": len(weights.folded),
        },
    )


@contextmanager
def closing_engine(engine: Engine, keeper: EngineKeeper | None = None) -> Iterator[None]:
    """A process that an engine runs in ends with what it is needed for, or with its keeper."""
    try:
        yield
    finally:
        if keeper is None or not keeper.holds(engine):
            stop(engine)


@contextmanager
def _closing_on_error(engine: Any, keeper: EngineKeeper | None = None) -> Iterator[None]:
    try:
        yield
    except BaseException:
        stop(engine)
        if keeper is not None:
            keeper.close()
        raise


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Say which file an error is about."""
    try:
        yield
    except EvalkitError as error:
        if str(path) in str(error):
            raise
        raise EvalkitError(f"{path}: {error}") from error


def _section_sizes(tensors: Mapping[str, torch.Tensor]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for key, tensor in tensors.items():
        sizes[section_of(key)] = sizes.get(section_of(key), 0) + tensor.numel()
    return sizes

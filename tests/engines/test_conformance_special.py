"""The checks of engines with an environment, with a file of their own, or without weights, and of hopeless engines."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor
from toy_engine import Toy, changed

from evalkit.checkpoints import canonical, read_checkpoint
from evalkit.engines import Environment, Example, Setup, Voice
from evalkit.engines.conformance import CHECKS, Finding, assert_conforms, check, prepare
from evalkit.engines.conformance.voices import TURNED
from evalkit.errors import EvalkitError

# The engine's package need not be installed: `wanted_package` is not.
MODULES = {
    "importing": "import wanted_package\n",
    "trying": "try:\n    import wanted_package.part\nexcept ImportError:\n    pass\n",
    "raising": "raise RuntimeError('no such library')\n",
    "leaving": "import os\nos._exit(3)\n",
    "modest": "def speak():\n    import wanted_package\n",
}


def one(name: str, engine: type[Toy], example: Example) -> Finding:
    return check(lambda: prepare(engine(), example), example, only=(name,))[0]


def in_module(name: str, folder: Path, requirements: str = "requirements.txt") -> type[Toy]:
    """A toy that says it is defined in a module of this folder."""
    (folder / f"{name}.py").write_text(MODULES[name])
    environment = Environment("toy", {"wanted-package": "1.0", "torch": "2.11.0"}, f"{name}:{requirements}")
    cls = changed(environment=environment)
    cls.__module__ = name
    return cls


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("importing", "importing importing imports wanted_package"),
        ("trying", "importing trying imports wanted_package"),
        ("raising", "raises RuntimeError: no such library"),
        ("leaving", "ends its process"),
    ],
)
def test_a_module_that_needs_its_packages_to_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, says: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "requirements.txt").touch()
    finding = one("imports", in_module(module, tmp_path), Toy.example(tmp_path, seed=0))
    assert finding.ok is False and says in finding.detail, str(finding)


def test_a_module_that_imports_its_packages_where_it_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    example = Toy.example(tmp_path, seed=0)
    (tmp_path / "requirements.txt").touch()
    assert one("imports", in_module("modest", tmp_path), example).ok
    finding = one("imports", in_module("modest", tmp_path, "absent.txt"), example)
    assert finding.ok is False and "name no file" in finding.detail
    assert "modest" not in sys.modules and importlib.util.find_spec("wanted_package") is None


class FileToy(changed(weights="file")):  # type: ignore[misc]
    """Its runtime reads the checkpoint itself."""

    def load_file(self, path: Path) -> str:
        return str(super().load(dict(canonical(read_checkpoint(path).tensors).tensors)))

    def load(self, weights: Mapping[str, Tensor]) -> str:
        raise EvalkitError("toy reads its file itself.")


class Trusting(FileToy):
    def load_file(self, path: Path) -> str:
        if path.stat().st_size and not self.loaded:
            return super().load_file(path)
        return "loaded"


def test_an_engine_that_reads_its_file_itself(tmp_path: Path) -> None:
    example = Toy.example(tmp_path, seed=0)
    findings = check(lambda: prepare(FileToy(), example), example)
    assert [str(finding) for finding in findings if finding.ok is False] == []
    assert {f.check for f in findings if f.ok} >= {"broken_file", "digest", "batches"}
    finding = one("broken_file", Trusting, example)
    assert finding.ok is False and finding.detail == "a file cut to 0 bytes was loaded"


class Weightless(changed(weights="none")):  # type: ignore[misc]
    def set_up(self, setup: Setup) -> None:
        super().set_up(setup)
        beside = setup.assets["alphabet"].parent / "toy.pth"
        self.loaded = dict(canonical(read_checkpoint(beside).tensors).tensors)

    def weights(self) -> Mapping[str, Tensor]:
        return {}

    def load(self, weights: Mapping[str, Tensor]) -> str:
        raise EvalkitError("toy takes no checkpoint.")


class Welcoming(Weightless):
    def load(self, weights: Mapping[str, Tensor]) -> str:
        return ""


class Holding(Weightless):
    def weights(self) -> Mapping[str, Tensor]:
        return dict(self.loaded)


def test_an_engine_without_weights(tmp_path: Path) -> None:
    example = Toy.example(tmp_path, seed=0)
    example = replace(example, checkpoint=None, settings=(f"alphabet={tmp_path / 'alphabet.txt'}",))
    findings = check(lambda: prepare(Weightless(), example), example)
    assert [str(finding) for finding in findings if finding.ok is False] == []
    assert {f.check for f in findings if f.ok} >= {"no_checkpoint", "audio", "batches"}
    assert "load accepted a tensor" in one("no_checkpoint", Welcoming, example).detail
    assert "weights() gives" in one("no_checkpoint", Holding, example).detail


def test_an_engine_that_cannot_load_fails_once(tmp_path: Path) -> None:
    class Hopeless(Toy):
        def put(self, weights: Mapping[str, Tensor]) -> None:
            raise RuntimeError("no luck")

    example = Toy.example(tmp_path, seed=0)
    first, *others = check(lambda: prepare(Hopeless(), example), example)
    assert (first.ok, first.detail) == (False, "raised RuntimeError: no luck")
    assert all(f.ok is None and f.detail.startswith("not tried") for f in others)
    assert len(others) == len(CHECKS) - 1


def test_an_engine_that_cannot_be_made_fails_once(tmp_path: Path) -> None:
    def make() -> Toy:
        raise ImportError("no package")

    example = Toy.example(tmp_path, seed=0)
    first, *others = check(make, example)
    assert (first.ok, first.detail) == (False, "raised ImportError: no package")
    assert all(f.ok is None for f in others)
    with pytest.raises(AssertionError, match="1 checks failed:\nspec: FAILED: raised ImportError: no package"):
        assert_conforms(make, example)


def test_an_engine_that_raises_at_everything_is_a_row_of_findings(tmp_path: Path) -> None:
    class Bad(Toy):
        def synthesize(self, requests: object) -> list[object]:  # type: ignore[override]
            raise MemoryError

    example = Toy.example(tmp_path, seed=0)
    findings = {f.check: f for f in check(lambda: prepare(Bad(), example), example)}
    assert findings["audio"].ok is False and "MemoryError" in findings["audio"].detail
    assert findings["read_back"].ok


def test_claims_not_made_are_not_held_against_an_engine(tmp_path: Path) -> None:
    modest = changed(batch_exact=False, streaming=False, phonemes=False)
    example = Toy.example(tmp_path, seed=0)
    findings = {f.check: f for f in check(lambda: prepare(modest(), example), example)}
    assert not [f for f in findings.values() if f.ok is False]
    assert {name for name, f in findings.items() if f.ok is None} >= {"batches", "options", "streaming", "phonemes"}


def write_voice(path: Path) -> None:
    values = np.linspace(-0.5, 0.5, 600, dtype=np.float32)
    match path.suffix:
        case ".wav" | ".flac":
            soundfile.write(path, values, 8000)
        case ".npy":
            np.save(path, values.reshape(20, 30))
        case ".bin":
            values.tofile(path)
        case ".pt":
            torch.save({"codes": torch.arange(600), "rate": 24000} if "codes" in path.name else values_of(values), path)


def values_of(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).reshape(20, 1, 30)


@pytest.mark.parametrize("name", ["clip.wav", "clip.flac", "codes.npy", "pack.bin", "pack.pt", "codes.pt"])
def test_another_voice_is_made_of_a_voice(tmp_path: Path, name: str) -> None:
    source, target = tmp_path / name, tmp_path / f"other-{name}"
    write_voice(source)
    TURNED[source.suffix](source, target)
    assert source.read_bytes() != target.read_bytes()
    TURNED[source.suffix](target, tmp_path / f"back-{name}")
    if source.suffix not in (".pt",):  # an archive holds the file's name
        assert (tmp_path / f"back-{name}").read_bytes() == source.read_bytes()


def test_a_voice_that_cannot_be_changed_is_not_held_against_an_engine(tmp_path: Path) -> None:
    example = Toy.example(tmp_path, seed=0)
    (tmp_path / "voice.npy").rename(tmp_path / "voice.npz")

    class OtherFile(Toy):
        def prepare_voice(self, reference: Path, text: str | None) -> Voice:
            return Voice("v", "d", torch.ones(4)) if reference.exists() else super().prepare_voice(reference, text)

    finding = one("voice", OtherFile, replace(example, voice=str(tmp_path / "voice.npz")))
    assert finding.ok is None and "cannot make another voice of 'voice.npz'" in finding.detail

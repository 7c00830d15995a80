"""`evalkit run` on checkpoints of Kokoro-82M's real shapes: however they are spelt, the same speech or a refusal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import soundfile
import torch
from engine_environments import python_of
from kokoro_shapes import kokoro_checkpoint
from typer.testing import CliRunner, Result

pytestmark = [pytest.mark.engines, pytest.mark.slow]
NEW = re.compile(r"weight_([gv])$")


def run(checkpoint: Path, voice: Path, folder: Path) -> Result:
    from evalkit.cli.main import app

    suite = folder / "suite.jsonl"
    suite.write_text(json.dumps({"id": "one", "text": "Yes, now."}) + "\n")
    arguments = ["run", checkpoint, "--voice", voice, "--suite", suite, "--metrics", "signal", "--out", folder / "runs"]
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="evalkit")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one set of weights in three spellings, one that fits nowhere, and a voice."""
    python_of("kokoro")
    folder = tmp_path_factory.mktemp("kokoro")
    kokoro_checkpoint(folder / "old.pth", seed=3)
    kokoro_checkpoint(folder / "new.pth", seed=3, spelling="new", prefix="")
    old = torch.load(folder / "old.pth", weights_only=True)
    torch.save({"net": old, "epoch": 3}, folder / "net.pth")
    # As many names as the two spellings of weight norm differ in, that nothing knows.
    foreign = {
        section: {NEW.sub(r"weight_norm_\1", name): tensor for name, tensor in tensors.items()}
        for section, tensors in old.items()
    }
    assert sum(name not in old[section] for section in foreign for name in foreign[section]) == 178
    torch.save(foreign, folder / "foreign.pth")
    generator = torch.Generator().manual_seed(0)
    torch.save(torch.randn(510, 1, 256, generator=generator) * 0.1, folder / "voice.pt")
    return folder


def test_three_spellings_give_the_same_samples(system: Path, tmp_path: Path) -> None:
    spoken = []
    for name in ("old", "new", "net"):
        (tmp_path / name).mkdir()
        done = run(system / f"{name}.pth", system / "voice.pt", tmp_path / name)
        assert done.exit_code == 0, done.output
        (clip,) = (tmp_path / name / "runs").glob("*/audio/*.flac")
        spoken.append(soundfile.read(clip, dtype="int16")[0].tobytes())
    assert spoken[0] == spoken[1] == spoken[2] and any(spoken[0])


def test_names_that_fit_nowhere_are_refused_with_the_list(system: Path, tmp_path: Path) -> None:
    done = run(system / "foreign.pth", system / "voice.pt", tmp_path)
    assert done.exit_code == 2 and not (tmp_path / "runs").exists()
    said = " ".join(done.output.split())
    assert "89 tensors missing (" in said and "178 tensors unknown to Kokoro (" in said
    assert "weight_norm_g" in said and "and 173 more" in said

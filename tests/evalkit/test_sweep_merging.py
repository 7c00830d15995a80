"""What a point speaks with: the weights that `evalkit merge` would have written, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from commands import VOICES
from torch import Tensor

from evalkit.checkpoints import canonical, fingerprint, read_checkpoint
from evalkit.decisions.sweep import making
from evalkit.decisions.sweep.axes import parse_axes
from evalkit.decisions.sweep.binding import bind
from evalkit.decisions.sweep.making import Maker
from evalkit.decisions.sweep.points import Point, default_point, grid
from evalkit.decisions.sweep.subject import read_subject
from evalkit.errors import EvalkitError
from evalkit.merging.files import merge_files
from evalkit.pipeline.speaking import Speaking
from evalkit.pipeline.weights import Made

TWO = """
base: VOICES/base.pth
layout: canonical
models:
  - path: VOICES/sarah.pth
    weight: 0.6
  - path: VOICES/sumit.pth
"""


def maker(folder: Path, text: str, *arguments: str) -> tuple[Maker, Any]:
    path = folder / "recipe.yaml"
    path.write_text(text.replace("VOICES", str(VOICES)))
    subject = read_subject(path)
    axes = bind(subject, parse_axes(arguments, False), (), None)
    made = Maker(subject, Speaking(), None)
    made.folder = folder / "sweep"
    return made, axes


def tensors(made: Made | Path) -> dict[str, Tensor]:
    assert isinstance(made, Made)
    return dict(made.weights.tensors)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (TWO, ("alpha=0.5,0.7,1.3", "beta=1")),
        (TWO, ("sumit:encoder=0,1", "sarah:decoder.blocks.0-1=0.25")),
        (TWO + "method: ties\n", ("density=0.2,0.7", "alpha=0.5,1")),
        (TWO + "method: dare_linear\nseed: 3\n", ("density=0.3,0.5",)),
        (TWO + "dtype: float32\n", ("sarah:decoder.blocks.0-${last}=0.25".replace("${last}", "2"), "alpha=0,1")),
        (TWO.replace("sarah.pth", "sarah-lora-r${rank}"), ("rank=4,8", "beta=0.5,1")),
        (TWO.replace("sarah.pth", "sarah-lora-r8"), ("rank=2,8", "alpha=1,2")),
    ],
)
def test_a_point_is_what_merge_writes(tmp_path: Path, text: str, arguments: tuple[str, ...]) -> None:
    made, axes = maker(tmp_path, text, *arguments)
    for number, point in enumerate(grid(axes)):
        swept = tensors(made.made(point))
        out = tmp_path / f"{number}.safetensors"
        merge_files(made.recipe(point), out)
        merged = canonical(read_checkpoint(out).tensors).tensors
        assert swept.keys() == merged.keys()
        for key, tensor in merged.items():
            assert torch.equal(swept[key], tensor), (point.name, key)
            assert swept[key].dtype == torch.float32 or not tensor.is_floating_point()
        assert fingerprint(swept) == fingerprint(merged)
    made.close()


def test_checkpoints_are_merged_by_one_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("merge_recipe", "_session"):
        original = getattr(making, name)

        def counted(recipe: Any, name: str = name, original: Any = original) -> Any:
            calls.append(name)
            return original(recipe)

        monkeypatch.setattr(making, name, counted)
    made, axes = maker(tmp_path, TWO, "alpha=0.5,1", "beta=0.5,1", "sumit:encoder=0,1")
    for point in grid(axes):
        made.made(point)
    assert calls == ["merge_recipe", "_session"]


def test_points_differ_and_are_recorded_as_what_they_are(tmp_path: Path) -> None:
    made, axes = maker(tmp_path, TWO, "alpha=0.5,1,1.5")
    points = grid(axes)
    subjects = [made.made(point) for point in points]
    assert len({fingerprint(tensors(one)) for one in subjects}) == 3
    for one, point in zip(subjects, points, strict=True):
        assert isinstance(one, Made)
        record = one.weights.record["merge"]
        assert record["recipe"]["models"][0]["weight"] == point.values[0]
        assert [parent["name"] for parent in record["parents"]] == ["base", "sarah", "sumit"]
        assert record["counts"]["merged"] > 0


def test_a_cut_adapter_is_the_nearest_of_its_rank(tmp_path: Path) -> None:
    made, axes = maker(tmp_path, TWO.replace("sarah.pth", "sarah-lora-r8"), "rank=1,4,8", "alpha=1")
    base = canonical(read_checkpoint(VOICES / "base.pth").tensors).tensors
    alone = {rank: made.recipe(Point((rank, 1.0), axes)) for rank in (1, 4, 8)}
    assert alone[8].models[0].path == VOICES / "sarah-lora-r8", "the whole adapter is taken as it is"
    assert [alone[rank].models[0].name for rank in (1, 4, 8)] == ["sarah-lora-r8"] * 3
    from evalkit.pipeline.weights import read_weights

    whole = read_weights(VOICES / "sarah-lora-r8", VOICES / "base.pth").tensors
    far = []
    for rank in (1, 4):
        cut = read_weights(alone[rank].models[0].path, VOICES / "base.pth").tensors
        far.append(sum(float(torch.dist(cut[key], whole[key])) ** 2 for key in whole if whole[key].is_floating_point()))
        moved = [key for key in base if base[key].ndim >= 2 and not torch.equal(cut[key], base[key])]
        assert moved
        for key in moved:
            delta = (cut[key] - base[key]).flatten(1).double()
            assert int((torch.linalg.svdvals(delta) > 1e-3 * torch.linalg.matrix_norm(delta, 2)).sum()) <= rank
    assert far[0] > far[1] > 0


@pytest.mark.parametrize(
    ("text", "arguments", "says"),
    [
        (TWO, ("sarah:decodr=0,1",), "point sarah:decodr=0.6 cannot be merged.*did you mean 'decoder'"),
        (TWO.replace("sumit.pth", "nobody.pth"), ("alpha=0,1",), "nobody.pth"),
        (TWO + "method: slerp\n", ("alpha=0.5,1", "beta=0.5,1", "gamma=1"), "model number 3"),
        (TWO.replace("sarah.pth", "sarah-lora-r${rank}"), ("rank=4,5",), "sarah-lora-r5"),
    ],
)
def test_every_point_is_thought_through_first(tmp_path: Path, text: str, arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(EvalkitError, match=says):
        made, axes = maker(tmp_path, text, *arguments)
        made.check([default_point(axes), *grid(axes)])


def test_an_axis_that_changes_nothing_is_named(tmp_path: Path) -> None:
    made, axes = maker(tmp_path, TWO.replace("weight: 0.6", "layers: {'*': 0.5}"), "alpha=0,1", "beta=0,1")
    made.check_effect(axes[1], default_point(axes))
    with pytest.raises(EvalkitError, match="'alpha' changes nothing"):
        made.check_effect(axes[0], default_point(axes))


def test_options_and_voices_of_a_point(tmp_path: Path) -> None:
    clip = VOICES.parent / "audio" / "reference" / "sarah" / "sarah-1.flac"
    subject = read_subject(VOICES / "sarah.pth")
    axes = bind(subject, parse_axes([f"voice={clip}", "voice_s=0.5,1", "set.temperature=0.5,1"], False), (), None)
    made = Maker(subject, Speaking(settings=("speed=1.1",)), None)
    made.folder = tmp_path
    speaking = made.speaking(Point((str(clip), 0.5, 1.0), axes), ["a", "b"], None)
    assert speaking.settings == ("speed=1.1", "temperature=1") and speaking.items == ("a", "b")
    cut = Path(speaking.voice.reference or "")
    assert cut == tmp_path / "voices" / "sarah-1-0.5s.wav"
    import soundfile

    whole, rate = soundfile.read(clip)
    short, short_rate = soundfile.read(cut)
    assert short_rate == rate and len(short) == round(0.5 * rate)
    assert abs(short - whole[: len(short)]).max() < 1e-4
    with pytest.raises(EvalkitError, match="has no first 500 s"):
        made.speaking(Point((str(clip), 500.0, 1.0), axes), [], None)
    needs = type("Spec", (), {"needs_voice_text": True, "name": "talker"})()
    with pytest.raises(EvalkitError, match=r"write the words into .*sarah-1-0\.5s\.txt"):
        made.speaking(Point((str(clip), 0.5, 1.0), axes), [], needs)

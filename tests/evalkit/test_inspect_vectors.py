"""Norms, cosines and sign conflicts of task vectors, against plain numpy and on cases made to go wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import VOICES
from hypothesis import given, settings
from hypothesis import strategies as st
from tinytts_small import small_weights
from torch import Tensor

from evalkit.checkpoints import canonical, read_checkpoint, write_checkpoint
from evalkit.checkpoints.inspection import VectorReport, compare_vectors
from evalkit.checkpoints.inspection.moments import Moments, figures
from evalkit.checkpoints.inspection.naming import layer_of, unique_names
from evalkit.checkpoints.inspection.report import PairFigures, VectorFigures
from evalkit.errors import EvalkitError

BASE = VOICES / "base.pth"
NAMES = ("enc.blocks.0.w", "enc.blocks.0.b", "enc.blocks.1.w", "dec.out.w", "steps")


def weights(seed: int, scale: float = 1.0, around: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Random float32 tensors of two sections, near `around` if given; `steps` is an integer."""
    draw = torch.Generator().manual_seed(seed)
    shapes = [(40, 30), (40,), (40, 30), (50, 20)]
    drawn = {name: scale * torch.randn(shape, generator=draw) for name, shape in zip(NAMES, shapes, strict=False)}
    near = {name: tensor + (around[name] if around else 0) for name, tensor in drawn.items()}
    return {**near, "steps": torch.tensor(3)}


def saved(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    write_checkpoint(path, tensors)
    return path


def effective(path: Path) -> dict[str, Tensor]:
    return dict(canonical(read_checkpoint(path).tensors).tensors)


def levels(report: VectorReport) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for said in report.judgements:
        found.setdefault(said.topic, set()).add(said.level)
    return found


def sentence(report: VectorReport, topic: str) -> str:
    return " ".join(said.says for said in report.judgements if said.topic == topic)


@pytest.fixture
def trio(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A base and two independent fine-tunes a tenth of its length away."""
    base = weights(0)
    return (
        saved(tmp_path / "root.pth", base),
        saved(tmp_path / "a.pth", weights(1, 0.1, base)),
        saved(tmp_path / "b.pth", weights(2, 0.1, base)),
    )


def test_every_figure_of_every_group_is_what_numpy_computes(trio: tuple[Path, Path, Path]) -> None:
    report = compare_vectors(trio[0], trio[1:])
    base, a, b = (effective(path) for path in trio)
    groups = {
        "all": NAMES[:4],
        "enc": NAMES[:3],
        "dec": NAMES[3:4],
        "enc.blocks.0": NAMES[:2],
        "enc.blocks.1": NAMES[2:3],
        "dec.out": NAMES[3:4],
    }
    found = {group.name: group for group in (report.overall, *report.sections, *report.layers)}
    assert list(found) == list(groups)
    for name, keys in groups.items():
        o, x, y = (np.concatenate([t[key].double().numpy().ravel() for key in keys]) for t in (base, a, b))
        x, y = x - o, y - o
        vector, pair = found[name].vectors[0], found[name].pairs[0]
        assert vector.elements == x.size
        assert vector.norm == pytest.approx(np.linalg.norm(x), rel=1e-12)
        assert vector.relative_norm == pytest.approx(np.linalg.norm(x) / np.linalg.norm(o), rel=1e-12)
        assert (vector.mean_abs, vector.max_abs) == pytest.approx((np.abs(x).mean(), np.abs(x).max()), rel=1e-12)
        assert vector.moved == np.mean(x != 0)
        assert pair.cosine == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y), rel=1e-9)
        assert pair.distance == pytest.approx(np.linalg.norm(x - y) / np.linalg.norm(o), rel=1e-9)
        both = (x != 0) & (y != 0)
        opposed = both & (np.sign(x) != np.sign(y))
        assert pair.both_moved == both.sum()
        assert pair.conflict == pytest.approx(opposed.sum() / both.sum(), rel=1e-12)
        assert pair.weighted_conflict == pytest.approx(np.abs(x * y)[opposed].sum() / np.abs(x * y).sum(), rel=1e-9)


def test_the_standard_error_is_the_spread_over_random_signs() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.exponential(size=200), rng.exponential(size=200)
    drawn = rng.choice([-1.0, 1.0], size=(4000, 200))
    shares = ((np.abs(x * y) * (drawn < 0)).sum(1)) / np.abs(x * y).sum()
    moments = Moments.none(2)
    models = [torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)]
    moments.add(torch.zeros(200), models, [(0.0, 0.0)] * 2)
    error = figures("g", moments, ["a", "b"], True).pairs[0].standard_error
    assert error == pytest.approx(shares.std(), rel=0.05)


def numbers(found: VectorFigures | PairFigures) -> dict[str, float]:
    return {name: value for name, value in asdict(found).items() if not isinstance(value, str)}


@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(0, 60))
@settings(max_examples=25, deadline=None)
def test_sums_over_parts_are_the_sums_over_the_whole(seed: int, first: int, second: int) -> None:
    base, x, y = torch.randn((3, first + second), generator=torch.Generator().manual_seed(seed))
    whole, left, right = Moments.none(2), Moments.none(2), Moments.none(2)
    none = [(0.0, 0.0)] * 2
    whole.add(base, [x, y], none)
    left.add(base[:first], [x[:first], y[:first]], none)
    right.add(base[first:], [x[first:], y[first:]], none)
    a, b = figures("g", whole, ["a", "b"], True), figures("g", left + right, ["a", "b"], True)
    assert numbers(a.vectors[0]) == pytest.approx(numbers(b.vectors[0]), rel=1e-9, abs=1e-12)
    assert numbers(a.pairs[0]) == pytest.approx(numbers(b.pairs[0]), rel=1e-6, abs=1e-9)


def test_a_tensor_of_many_chunks_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    base, model = torch.zeros(1000), torch.arange(1000.0)
    monkeypatch.setattr("evalkit.checkpoints.inspection.contents.CHUNK", 7)
    moments = Moments.none(1)
    moments.add(base, [model], [(0.0, 0.0)])
    vector = figures("g", moments, ["a"], True).vectors[0]
    assert (vector.elements, vector.max_abs, vector.norm) == (1000, 999.0, float(np.linalg.norm(np.arange(1000.0))))


@pytest.mark.parametrize("spelling", ["old", "new", "rescaled", "plain"])
def test_a_parent_that_only_spells_weight_norm_otherwise_has_no_distance(tmp_path: Path, spelling: str) -> None:
    v, g = torch.randn(8, 5), torch.rand(8, 1) + 0.5
    plain = canonical({"a.weight_g": g, "a.weight_v": v}).tensors["a.weight"]
    other = {
        "old": {"a.module.weight_g": g, "a.module.weight_v": v},
        "new": {"a.parametrizations.weight.original0": g, "a.parametrizations.weight.original1": v},
        "rescaled": {"a.weight_g": g, "a.weight_v": 4 * v},
        "plain": {"a.weight": plain.half()},
    }[spelling]
    base = saved(tmp_path / "base.pth", {"a.weight_g": g, "a.weight_v": v})
    report = compare_vectors(base, [saved(tmp_path / "m.pth", other)])
    (vector,) = report.overall.vectors
    assert (vector.relative_norm, vector.moved) == (0.0, 0.0)
    assert report.partners[0].shared == 1
    assert report.partners[0].respelled == (0 if spelling == "rescaled" else 1)


def test_rounding_to_half_precision_is_no_move_but_a_step_of_one_unit_is(tmp_path: Path) -> None:
    base = {"a.w": torch.randn(500, generator=torch.Generator().manual_seed(0))}
    base["a.w"][0] = 1.0  # exact in half precision, so that the next number is a whole unit away
    step = base["a.w"].half()
    step[0] = torch.nextafter(step[0], torch.tensor(torch.inf, dtype=torch.float16))
    paths = [saved(tmp_path / "half.pth", {"a.w": base["a.w"].half()}), saved(tmp_path / "step.pth", {"a.w": step})]
    half, stepped = compare_vectors(saved(tmp_path / "base.pth", base), paths).overall.vectors
    assert (half.norm, half.moved) == (0.0, 0.0)
    assert stepped.moved == pytest.approx(1 / 500)


def test_two_good_fine_tunes_of_one_base_are_judged_fine() -> None:
    report = compare_vectors(BASE, [VOICES / "sarah.pth", VOICES / "sumit.pth"])
    assert levels(report) == {topic: {"ok"} for topic in ("numbers", "names", "distance", "conflict", "base")}
    assert report.overall.vectors[0].relative_norm == pytest.approx(0.157, abs=0.001)
    assert report.partners[0].respelled == 11  # base spells weight norm the old way, sarah the new


def test_an_over_long_fine_tune_went_far() -> None:
    report = compare_vectors(BASE, [VOICES / "sarah.pth", VOICES / "overlong" / "step-01600.pth"])
    assert levels(report)["distance"] == {"caution"}
    assert "step-01600" in sentence(report, "distance") and "encoder.to_chunks (0.82" in sentence(report, "distance")
    assert "sarah" not in sentence(report, "distance")


def test_one_layer_that_was_trained_afresh_is_named(tmp_path: Path) -> None:
    tensors = effective(BASE)
    fresh = "decoder.to_frames."
    tensors |= {key: tensors[key].flip(0) for key in tensors if key.startswith(fresh)}
    report = compare_vectors(BASE, [saved(tmp_path / "m.pth", tensors)])
    assert report.overall.vectors[0].relative_norm < 0.2
    assert levels(report)["distance"] == {"caution"} and "decoder.to_frames" in sentence(report, "distance")


def test_a_model_that_equals_its_base_has_nothing_to_merge(tmp_path: Path) -> None:
    report = compare_vectors(BASE, [saved(tmp_path / "lost.pth", effective(BASE))])
    assert "lost differs from the base nowhere" in sentence(report, "distance")


def mirrored(trio: tuple[Path, Path, Path], share: float) -> Path:
    """b with `share` of a's vector taken away."""
    base, a, b = (effective(path) for path in trio)
    return saved(trio[0].with_name("mirror.pth"), {key: b[key] - share * (a[key] - base[key]) for key in NAMES[:4]})


@pytest.mark.parametrize(("share", "level"), [(0.0, "ok"), (0.25, "caution"), (1.0, "problem")])
def test_vectors_that_pull_apart_conflict(trio: tuple[Path, Path, Path], share: float, level: str) -> None:
    report = compare_vectors(trio[0], [trio[1], mirrored(trio, share)])
    assert levels(report)["conflict"] == {level}


def test_a_conflict_in_one_layer_only_names_that_layer(trio: tuple[Path, Path, Path]) -> None:
    base, a, b = (effective(path) for path in trio)
    b["dec.out.w"] = base["dec.out.w"] - 0.5 * (a["dec.out.w"] - base["dec.out.w"])
    a["enc.blocks.1.w"] = base["enc.blocks.1.w"] * 1.1
    b["enc.blocks.1.w"] = base["enc.blocks.1.w"] * 1.1
    paths = [saved(trio[0].with_name(f"{name}2.pth"), t) for name, t in (("a", a), ("b", b))]
    report = compare_vectors(trio[0], paths)
    assert "conflict in 1 of 3 layers (dec.out (-1.00))" in sentence(report, "conflict")


def test_few_elements_that_happen_to_disagree_are_no_conflict(tmp_path: Path) -> None:
    base = torch.zeros(10)
    a = torch.ones(10)
    b = torch.cat([-torch.ones(7), torch.ones(3)])
    paths = [saved(tmp_path / f"{name}.pth", {"a.w": t}) for name, t in (("base", base), ("a", a), ("b", b))]
    report = compare_vectors(paths[0], paths[1:])
    assert report.overall.pairs[0].cosine == pytest.approx(-0.4)
    assert levels(report)["conflict"] == {"ok"}


def test_one_element_that_outweighs_all_is_no_conflict(tmp_path: Path) -> None:
    a, b = torch.randn((2, 1000), generator=torch.Generator().manual_seed(0)) * 0.01
    a[0], b[0] = 1.0, -1.0
    paths = [saved(tmp_path / f"{n}.pth", {"a.w": t + 5}) for n, t in (("base", a * 0), ("a", a), ("b", b))]
    report = compare_vectors(paths[0], paths[1:])
    assert report.overall.pairs[0].cosine < -0.8
    assert levels(report)["conflict"] == {"ok"}


def shuffled(path: Path) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {
        key: tensor.flatten()[torch.randperm(tensor.numel(), generator=draw)].reshape(tensor.shape)
        if tensor.is_floating_point()
        else tensor
        for key, tensor in effective(path).items()
    }


def test_parents_of_another_base_are_told(tmp_path: Path) -> None:
    base = saved(tmp_path / "other.pth", shuffled(BASE))
    report = compare_vectors(base, [VOICES / "sarah.pth", VOICES / "sumit.pth"])
    assert levels(report)["base"] == {"problem", "caution"}
    said = sentence(report, "base")
    assert "sarah does not come from other" in said and "sumit does not come from other" in said
    assert "sarah and sumit went the same way" in said


def test_networks_that_were_initialised_apart_share_no_base(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"w{seed}.pth", small_weights(seed)) for seed in range(3)]
    report = compare_vectors(paths[0], paths[1:])
    assert "w1 does not come from w0" in sentence(report, "base")
    assert "w2 does not come from w0" in sentence(report, "base")
    alone = compare_vectors(None, paths)
    assert "w0 and w1 are unrelated weights" in sentence(alone, "base")


def test_a_base_that_is_a_sibling_is_met_with_caution() -> None:
    report = compare_vectors(VOICES / "sumit.pth", [BASE, VOICES / "sarah.pth"])
    assert levels(report)["base"] == {"caution"}


def test_snapshots_of_one_training_share_their_way() -> None:
    steps = [VOICES / "overlong" / f"step-{step}.pth" for step in ("00800", "01600")]
    report = compare_vectors(BASE, steps)
    assert "step-00800 and step-01600 went the same way" in sentence(report, "base")


def test_a_network_of_other_shapes_is_not_of_this_base(tmp_path: Path) -> None:
    report = compare_vectors(BASE, [saved(tmp_path / "small.pth", small_weights())])
    assert "small is hardly of the kind of base" in sentence(report, "base")
    assert {m.key: (m.base, m.model) for m in report.partners[0].mismatched}["encoder.chunk_phones"] == (
        (82, 2),
        (12, 2),
    )


def test_names_without_a_partner_are_listed_and_a_prefix_is_suggested(trio: tuple[Path, Path, Path]) -> None:
    a = effective(trio[1])
    moved = saved(trio[0].with_name("moved.pth"), {f"model.{key}": tensor for key, tensor in a.items()})
    report = compare_vectors(trio[0], [moved])
    (partner,) = report.partners
    assert (partner.shared, set(partner.missing)) == (0, set(a))
    assert set(partner.unknown) == {f"model.{key}" for key in a}
    assert partner.prefix == "-model."
    assert levels(report)["names"] == {"problem"} and "'model.' were cut from" in sentence(report, "names")
    assert compare_vectors(moved, [trio[0]]).partners[0].prefix == "+model."


def test_a_tensor_that_one_model_lacks_counts_for_the_other_alone(trio: tuple[Path, Path, Path]) -> None:
    base, a, b = (effective(path) for path in trio)
    del b["dec.out.w"]
    less = saved(trio[0].with_name("less.pth"), b)
    report = compare_vectors(trio[0], [trio[1], less])
    x, y = (
        np.concatenate([(t[key] - base[key]).double().numpy().ravel() for key in NAMES[:3]]) for t in (a, b)
    )  # fmt: skip
    assert [vector.elements for vector in report.overall.vectors] == [3440, 2440]
    assert report.overall.pairs[0].cosine == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y), rel=1e-5)
    shared = np.concatenate([base[key].double().numpy().ravel() for key in NAMES[:3]])
    assert report.overall.pairs[0].distance == pytest.approx(np.linalg.norm(x - y) / np.linalg.norm(shared), rel=1e-5)
    assert report.layers[-1].pairs[0].cosine is None


def test_integers_that_differ_and_broken_numbers_are_named_and_left_out(trio: tuple[Path, Path, Path]) -> None:
    a, b = effective(trio[1]), effective(trio[2])
    a["steps"] = torch.tensor(4)
    a["enc.blocks.1.w"][0, 0] = torch.nan
    b["dec.out.w"][0, 0] = torch.inf
    paths = [saved(trio[0].with_name(f"{name}3.pth"), t) for name, t in (("a", a), ("b", b))]
    report = compare_vectors(trio[0], paths)
    assert report.partners[0].integers == ("steps",)
    assert report.partners[0].non_finite == ("enc.blocks.1.w",)
    assert report.overall.vectors[0].elements == 3440 - 1200
    assert levels(report)["numbers"] == {"problem"}
    broken_base = compare_vectors(paths[1], [trio[1]])
    assert broken_base.base_non_finite == ("dec.out.w",) and "b3 holds NaN or Inf" in sentence(broken_base, "numbers")
    json.dumps(asdict(report), allow_nan=False)


def test_without_a_base_the_weights_themselves_are_compared(trio: tuple[Path, Path, Path]) -> None:
    report = compare_vectors(None, trio[1:])
    a, b = (np.concatenate([t[key].double().numpy().ravel() for key in NAMES[:4]]) for t in map(effective, trio[1:]))
    (pair,) = report.overall.pairs
    assert pair.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-9)
    assert pair.distance == pytest.approx(np.linalg.norm(a - b) / np.sqrt((a @ a + b @ b) / 2), rel=1e-9)
    assert report.overall.vectors[0].relative_norm is None and pair.weighted_conflict is None


def test_one_checkpoint_cannot_be_compared() -> None:
    with pytest.raises(EvalkitError, match="nothing to compare with one checkpoint"):
        compare_vectors(None, [BASE])


@pytest.mark.parametrize(
    ("key", "layer"),
    [
        ("decoder.blocks.3.ff.weight", "decoder.blocks.3"),
        ("decoder.generator.resblocks.0.convs1.1.weight", "decoder.generator.resblocks.0"),
        ("predictor.lstm.weight_ih_l0", "predictor.lstm"),
        ("predictor.F0_proj.weight", "predictor.F0_proj"),
        ("encoder.table", "encoder"),
        ("encoder.0", "encoder"),
        ("alone", "alone"),
    ],
)
def test_a_layer_ends_at_its_first_number(key: str, layer: str) -> None:
    assert layer_of(key) == layer


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    paths = [tmp_path / "x" / "last.pth", tmp_path / "y" / "last.pth", tmp_path / "v1.0", tmp_path / "base.pth"]
    assert unique_names(paths) == ["x/last", "y/last", "v1.0", "base"]
    deep = [tmp_path / "p" / "x" / "last.pth", tmp_path / "q" / "x" / "last.pth"]
    assert unique_names(deep) == [str(path) for path in deep]
    assert len(set(unique_names([paths[0], paths[0]]))) == 2


MEMORY = """
import sys, threading
from pathlib import Path
from evalkit.checkpoints.inspection import compare_vectors, inspect_checkpoint
import torch
torch.set_num_threads(1)

def held():
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1]) * 1024

folder, done, peak = Path(sys.argv[1]), threading.Event(), 0
compare_vectors(folder / "tiny.pth", [folder / "tiny.pth"])
inspect_checkpoint(folder / "tiny.pth")
before = held()

def watch():
    global peak
    while not done.wait(0.005):
        peak = max(peak, held() - before)

watcher = threading.Thread(target=watch)
watcher.start()
compare_vectors(folder / "base.pth", [folder / "model.pth"])
inspect_checkpoint(folder / "model.pth")
done.set()
watcher.join()
print(peak)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc")
def test_a_large_checkpoint_is_never_held_in_memory(tmp_path: Path) -> None:
    tensors = {f"a.{n}.w": torch.full((2**20,), n + 1, dtype=torch.float16) for n in range(40)}
    saved(tmp_path / "base.pth", tensors)
    saved(tmp_path / "model.pth", {key: tensor * 1.5 for key, tensor in tensors.items()})
    saved(tmp_path / "tiny.pth", {"a.w": torch.ones(2**20)})
    # A tensor then goes back to the system when it is freed, so what is counted is what is held.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    largest, whole = 4 * 2**20, 40 * 4 * 2**20  # bytes in float32
    assert int(done.stdout) < 16 * largest < whole / 2


def test_figures_do_not_depend_on_the_order_of_models(trio: tuple[Path, Path, Path]) -> None:
    there, back = (compare_vectors(trio[0], order) for order in (trio[1:], trio[:0:-1]))
    assert there.overall.vectors == back.overall.vectors[::-1]
    pair, again = there.overall.pairs[0], back.overall.pairs[0]
    assert (pair.cosine, pair.conflict) == pytest.approx((again.cosine, again.conflict), rel=1e-12)

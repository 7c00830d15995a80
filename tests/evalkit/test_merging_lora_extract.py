"""Adapters extracted from a fine-tune, written to disk, and loaded by peft."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from lora_models import TARGETS, heard, saved, small_model, with_adapter
from peft import PeftModel
from torch import Tensor

from evalkit.checkpoints import canonical, read_checkpoint
from evalkit.engines.base import Request
from evalkit.engines.tinytts.engine import TinyTTS
from evalkit.errors import EvalkitError
from evalkit.merging import Adapter, fold_adapter, read_adapter
from evalkit.merging.lora_combine import combine_adapters
from evalkit.merging.lora_config import find_base
from evalkit.merging.lora_extract import extract_adapter
from evalkit.merging.lora_svd import truncate
from evalkit.merging.lora_update import LowRank
from evalkit.merging.lora_write import write_adapter

VOICES = Path(__file__).parents[2] / "fixtures" / "voices"


def fine_tune(seed: int = 3) -> dict[str, Tensor]:
    """Every tensor of the small model moved a little."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
        for key, tensor in small_model().state_dict().items()
    }


def change(key: str) -> Tensor:
    return fine_tune()[key].double() - small_model().state_dict()[key].double()


def test_full_rank_gives_the_fine_tune_back() -> None:
    base, tuned = small_model().state_dict(), fine_tune()
    adapter, energies = extract_adapter(base, tuned, rank=99)
    assert set(adapter.updates) == {"linear", "conv", "image", "point"}
    folded = fold_adapter(base, adapter)
    for key, tensor in folded.items():
        module, _, leaf = key.rpartition(".")
        expected = tuned if leaf == "weight" and module in adapter.updates else base
        torch.testing.assert_close(tensor, expected[key], rtol=1e-5, atol=1e-5)
    assert energies.kept == pytest.approx(dict.fromkeys(adapter.updates, 1.0))


def test_each_layer_is_the_best_of_its_rank_and_says_what_it_keeps() -> None:
    adapter, energies = extract_adapter(small_model().state_dict(), fine_tune(), rank=2)
    assert energies.kept == adapter.kept
    for module, update in adapter.updates.items():
        whole = change(f"{module}.weight")
        values = torch.linalg.svdvals(whole.flatten(1))
        lost = (whole - update.delta()).square().sum()
        torch.testing.assert_close(lost, values[2:].square().sum(), rtol=1e-4, atol=1e-9)
        assert energies.kept[module] == pytest.approx(float(values[:2].square().sum() / values.square().sum()))
        sizes = update.a.norm(), update.b.norm()
        torch.testing.assert_close(*sizes)


def test_what_cannot_be_lora_is_listed_with_its_share() -> None:
    base, tuned = small_model().state_dict(), fine_tune()
    adapter, energies = extract_adapter(base, tuned, rank=2)
    left = {
        "embedding.weight",
        "norm.weight",
        *(f"{layer}.bias" for layer in ("linear", "norm", "conv", "image", "point")),
    }
    assert set(energies.left_out) == left
    total = sum(float(change(key).square().sum()) for key in base)
    assert energies.left_out["embedding.weight"] == pytest.approx(
        float(change("embedding.weight").square().sum()) / total
    )
    missed = sum(
        float((tuned[key].double() - tensor.double()).square().sum())
        for key, tensor in fold_adapter(base, adapter).items()
    )
    assert energies.total == pytest.approx(1 - missed / total, abs=1e-6)


def test_targets_are_ends_of_names_as_in_peft() -> None:
    names = ["block.0.to_q", "block.1.to_q", "block.0.out_to_q"]
    base = {f"{name}.weight": torch.zeros(3, 3) for name in names}
    tuned = {key: torch.ones(3, 3) for key in base}
    adapter, energies = extract_adapter(base, tuned, 1, targets=["to_q"])
    assert list(adapter.updates) == names[:2]
    assert energies.left_out == {"block.0.out_to_q.weight": pytest.approx(1 / 3)}
    with pytest.raises(EvalkitError, match="changed is called to_k"):
        extract_adapter(base, tuned, 1, targets=["to_q", "to_k"])


@pytest.mark.parametrize(
    "name", ["text_embed.text_embed", "llm.embed_tokens", "speech_embedding", "transformer.wte", "bert.word_embeddings"]
)
def test_embeddings_stay_out_by_their_names(name: str) -> None:
    base = {f"{name}.weight": torch.zeros(4, 3), "linear.weight": torch.zeros(3, 3)}
    adapter, energies = extract_adapter(base, {key: tensor + 1 for key, tensor in base.items()}, 1)
    assert list(adapter.updates) == ["linear"]
    assert list(energies.left_out) == [f"{name}.weight"]


@pytest.mark.parametrize(
    "name", ["input_embed.proj", "time_embed.time_mlp.0", "bert.encoder.embedding_hidden_mapping_in"]
)
def test_linear_layers_with_embed_in_their_names_do_not(name: str) -> None:
    adapter, _ = extract_adapter({f"{name}.weight": torch.zeros(4, 3)}, {f"{name}.weight": torch.ones(4, 3)}, 1)
    assert list(adapter.updates) == [name]


def test_weight_norm_is_compared_as_effective_weights() -> None:
    direction = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    base = {"conv.weight_g": torch.ones(4, 1, 1), "conv.weight_v": direction}
    tuned = {"conv.weight_g": torch.full((4, 1, 1), 2.0), "conv.weight_v": direction * 3}
    adapter, _ = extract_adapter(base, tuned, 4)
    folded = fold_adapter(base, adapter)["conv.weight"]
    torch.testing.assert_close(folded.flatten(1).norm(dim=1), torch.full((4,), 2.0))
    with pytest.raises(EvalkitError, match="equals its base"):
        extract_adapter(base, base | {"conv.weight_v": direction * 4}, 4)


def test_checkpoints_that_have_no_adapter_between_them() -> None:
    base = {"a.weight": torch.zeros(2, 2), "a.bias": torch.zeros(2)}
    with pytest.raises(EvalkitError, match=r"differ in 1 tensors: a\.bias"):
        extract_adapter(base, {"a.weight": torch.ones(2, 2)}, 1)
    with pytest.raises(EvalkitError, match=r"shapes of a\.bias \(the first: \[2\] and \[3\]\)"):
        extract_adapter(base, base | {"a.bias": torch.zeros(3)}, 1)
    with pytest.raises(EvalkitError, match=r"fine-tune holds NaN or infinity in a\.bias"):
        extract_adapter(base, base | {"a.bias": torch.full((2,), torch.nan)}, 1)
    with pytest.raises(EvalkitError, match=r"no LoRA can hold it"):
        extract_adapter(base, base | {"a.bias": torch.ones(2)}, 1)
    with pytest.raises(EvalkitError, match="rank 0"):
        extract_adapter(base, base, 0)


def test_peft_loads_an_extracted_adapter(tmp_path: Path) -> None:
    model = small_model()
    adapter, _ = extract_adapter(model.state_dict(), fine_tune(), rank=3)
    assert {update.rank for update in adapter.updates.values()} == {2, 3}, "`point` has rank 2, so there is a pattern"
    write_adapter(tmp_path / "new" / "adapter", adapter, "base.pth")
    wrapped = PeftModel.from_pretrained(small_model(), tmp_path / "new" / "adapter").eval()
    folded = heard(model, fold_adapter(model.state_dict(), adapter))
    torch.testing.assert_close(heard(wrapped), folded, rtol=1e-5, atol=1e-5)
    assert (folded - heard(model)).abs().max() > 0.01
    assert wrapped.peft_config["default"].base_model_name_or_path == "base.pth"


def test_peft_loads_a_combined_adapter_with_embeddings_and_scales(tmp_path: Path) -> None:
    model = small_model()
    settings = {"rank_pattern": {"linear": 4}, "alpha_pattern": {"conv": 9}, "use_rslora": True}
    original = read_adapter(saved(with_adapter(model, **settings), tmp_path / "read"))
    write_adapter(tmp_path / "again", original, "base.pth")
    expected = heard(model, fold_adapter(model.state_dict(), original))
    again = read_adapter(tmp_path / "again")
    torch.testing.assert_close(heard(model, fold_adapter(model.state_dict(), again)), expected, rtol=1e-6, atol=1e-6)
    other = read_adapter(saved(with_adapter(model, seed=8, target_modules=TARGETS[:2]), tmp_path / "other"))
    combined = combine_adapters([original, other], [1.0, -0.5], "cat")
    write_adapter(tmp_path / "both", combined, "base.pth")
    wrapped = PeftModel.from_pretrained(small_model(), tmp_path / "both").eval()
    torch.testing.assert_close(
        heard(wrapped), heard(model, fold_adapter(model.state_dict(), combined)), rtol=1e-5, atol=1e-5
    )


def test_a_rank_of_one_module_is_not_that_of_another_with_the_same_ending(tmp_path: Path) -> None:
    ranks = {"proj": 1, "a.proj": 2, "b.proj": 2, "axproj": 3}
    updates = {module: LowRank(torch.ones(rank, 4), torch.ones(4, rank), 0.5 * rank) for module, rank in ranks.items()}
    write_adapter(tmp_path, Adapter("made", updates), "base")
    read = read_adapter(tmp_path)
    assert {module: (update.rank, update.scale) for module, update in read.updates.items()} == {
        module: (rank, 0.5 * rank) for module, rank in ranks.items()
    }


def test_settings_never_stand_beside_weights_of_another_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Adapter("first", {"a": LowRank(torch.ones(1, 2), torch.ones(2, 1), 1.0)})
    write_adapter(tmp_path, first, "base")

    def fail(*_: object, **__: object) -> None:
        raise EvalkitError("No room left.")

    monkeypatch.setattr("evalkit.merging.lora_write.write_checkpoint", fail)
    with pytest.raises(EvalkitError, match="No room"):
        write_adapter(tmp_path, first, "base")
    assert not (tmp_path / "adapter_config.json").exists()
    with pytest.raises(EvalkitError, match="not a peft adapter folder"):
        read_adapter(tmp_path)


def test_adapters_that_cannot_be_written(tmp_path: Path) -> None:
    flat = LowRank(torch.ones(1, 2), torch.ones(2, 1), 1.0)
    turned = LowRank(torch.ones(1, 2), torch.ones(2, 1), 1.0, "fan_in_fan_out")
    for adapter, reason in (
        (Adapter("it", {"a": flat}, {"b.bias": torch.ones(2)}), "cannot be written"),
        (Adapter("it", {"a": flat, "b": turned}), "stored"),
        (Adapter("it", {}), "nothing to write"),
    ):
        with pytest.raises(EvalkitError, match=reason):
            write_adapter(tmp_path / "a", adapter, "base")
        assert not (tmp_path / "a").exists()
    write_adapter(tmp_path / "b", Adapter("it", {"a": turned}), "base")
    assert json.loads((tmp_path / "b" / "adapter_config.json").read_text())["fan_in_fan_out"] is True


def test_a_trained_adapter_finds_its_base_loads_strictly_and_is_heard() -> None:
    folder = VOICES / "sarah-lora-r32"
    base = find_base(folder)
    assert base is not None
    assert base.samefile(VOICES / "base.pth")
    weights = canonical(read_checkpoint(base).tensors).tensors
    audio = []
    for tensors in (weights, fold_adapter(weights, read_adapter(folder))):
        engine = TinyTTS()
        engine.load(tensors)
        (speech,) = engine.synthesize([Request("0", "Good morning, Subramanian.", seed=1)])
        assert speech.status == "ok"
        audio.append(torch.as_tensor(speech.audio))
    shorter = min(len(clip) for clip in audio)
    assert (audio[0][:shorter] - audio[1][:shorter]).abs().max() > 0.01


def test_a_trained_adapter_comes_back_from_its_own_fold() -> None:
    """The change of a rank-4 adapter has rank 4, so extraction at rank 4 keeps everything, at rank 2 less."""
    weights = read_checkpoint(VOICES / "base.pth").tensors
    adapter = read_adapter(VOICES / "sarah-lora-r4")
    folded = fold_adapter(weights, adapter)
    back, energies = extract_adapter(weights, folded, 4)
    assert set(back.updates) == set(adapter.updates)
    assert energies.total == pytest.approx(1, abs=1e-6)
    assert energies.left_out == {}
    for module, update in adapter.updates.items():
        torch.testing.assert_close(back.updates[module].delta(), update.delta(), rtol=1e-3, atol=1e-5)
    _, less = extract_adapter(weights, folded, 2)
    expected = {module: truncate(update.delta(), 2)[1] for module, update in adapter.updates.items()}
    assert less.kept == pytest.approx(expected, abs=1e-4)
    assert less.total < 0.99

"""Prints how a LoRA adapter that runs unmerged compares with the same one folded by peft, and what is refused."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from reference import answer, engine_of, weights_of
from safetensors.torch import load_file, save_file

from evalkit.engines.base import Request
from evalkit.engines.neutts.engine import NeuTTS
from evalkit.engines.neutts.example import write_example
from evalkit.errors import EvalkitError


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    example = write_example(folder, 0)
    assert example.checkpoint is not None
    adapter, base = folder / "adapter", example.checkpoint
    folded_weights = write_adapter(base, adapter)
    plain, runtime = engine_of(example), engine_of(example, f"adapter={adapter}")
    folded = engine_of(example)
    folded_digest, runtime_digest = folded.load(folded_weights), runtime.load(weights_of(base))
    voice = plain.prepare_voice(folder / "voice.npy", None)
    requests = [Request(str(i), text, i, voice) for i, text in enumerate(example.texts)]
    said = {name: e.synthesize(requests) for name, e in (("plain", plain), ("runtime", runtime), ("folded", folded))}
    read_back, given = runtime.weights(), weights_of(base)
    answer(
        {
            "logits": float((logits(runtime) - logits(folded)).abs().max()),
            "logits_moved": float((logits(runtime) - logits(plain)).abs().max()),
            "audio": [
                len(a.audio) == len(b.audio) and float((a.audio - b.audio).abs().max()) <= 1e-4
                for a, b in zip(said["runtime"], said["folded"], strict=True)
            ],
            "audio_moved": [
                len(a.audio) != len(b.audio) or not torch.equal(a.audio, b.audio)
                for a, b in zip(said["runtime"], said["plain"], strict=True)
            ],
            "base_read_back": read_back.keys() == given.keys()
            and all(torch.equal(read_back[key], given[key]) for key in given),
            "digests_differ": len({plain.load(given), folded_digest, runtime_digest}) == 3,
            "digest_repeats": engine_of(example, f"adapter={adapter}").load(given) == runtime_digest,
            "digest_of_alpha": with_alpha(example, adapter).load(given) != runtime_digest,
            "refused": [refusal(example, adapter, damage) for damage in (lose, stray, misshape, full_copies, dora)],
        }
    )


def write_adapter(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    """An adapter with random weights, as peft saves it; returns the base's weights with it folded in by peft."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(network, config)
    for name, tensor in model.named_parameters():
        if "lora_" in name:
            tensor.data.normal_(0.0, 0.1)
    model.save_pretrained(str(adapter))
    merged = model.merge_and_unload().state_dict()
    return {key: tensor.clone() for key, tensor in merged.items() if key != "lm_head.weight"}


@torch.inference_mode()
def logits(engine: NeuTTS) -> torch.Tensor:
    assert engine._system is not None
    found: torch.Tensor = engine._system.backbone.network(torch.arange(200, 300)[None]).logits
    return found


def with_alpha(example: Any, adapter: Path) -> NeuTTS:
    other = adapter.with_name("alpha")
    shutil.copytree(adapter, other)
    change_config(other, lora_alpha=9)
    return engine_of(example, f"adapter={other}")


def change_config(adapter: Path, **changes: Any) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_tensors(adapter: Path, change: Callable[[dict[str, torch.Tensor], str], None]) -> None:
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors, min(tensors))
    save_file(tensors, path)


def lose(adapter: Path) -> None:
    change_tensors(adapter, lambda tensors, key: tensors.__delitem__(key))


def stray(adapter: Path) -> None:
    change_tensors(
        adapter, lambda tensors, key: tensors.update({key.replace("layers.0", "layers.7"): tensors[key].clone()})
    )


def misshape(adapter: Path) -> None:
    change_tensors(adapter, lambda tensors, key: tensors.update({key: tensors[key][:, 1:].contiguous()}))


def full_copies(adapter: Path) -> None:
    change_config(adapter, modules_to_save=["lm_head"])


def dora(adapter: Path) -> None:
    change_config(adapter, use_dora=True)


def refusal(example: Any, adapter: Path, damage: Callable[[Path], None]) -> str:
    """What the engine says of a damaged copy of the adapter; "" if it takes it."""
    copy = adapter.with_name(damage.__name__)
    shutil.copytree(adapter, copy)
    damage(copy)
    try:
        engine_of(example, f"adapter={copy}")
    except EvalkitError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main()

"""Writes tiny backbones as GGUF files and compares what llama.cpp makes of them with transformers' Qwen2."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch

from evalkit.checkpoints import CanonicalTensors, read_checkpoint
from evalkit.engines.neutts.gguf_write import TYPES, main, write_gguf
from evalkit.errors import EvalkitError

PROMPT = (
    "user: Convert the text to speech:<|TEXT_PROMPT_START|>ðɪs ɪz ɐ tˈɛst ðə tˈɛkst<|TEXT_PROMPT_END|>\n"
    "assistant:<|SPEECH_GENERATION_START|><|speech_5|><|speech_63|><|speech_9|>"
)
F32_CACHE = 0  # ggml_type of the keys and values; llama.cpp's own choice is f16


def errors(folder: Path, files: dict[str, Path]) -> dict[str, Any]:
    """Largest error of the logits over the largest logit, and the share of equal best tokens, by type."""
    from llama_cpp import Llama
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder).encode(PROMPT, add_special_tokens=False)
    with torch.inference_mode():
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        expected = model(torch.tensor([ids])).logits[0].numpy()
    found: dict[str, Any] = {}
    for kind, path in files.items():
        settings = {"type_k": F32_CACHE, "type_v": F32_CACHE, "logits_all": True, "verbose": False, "n_threads": 1}
        llama = Llama(str(path), n_ctx=256, **settings)
        assert llama.tokenize(PROMPT.encode(), add_bos=False, special=True) == ids
        llama.eval(ids)
        logits = np.array(llama.scores[: len(ids)])
        llama.close()
        found[kind] = float(np.abs(logits - expected).max() / np.abs(expected).max())
    return found


def bit_equal(folder: Path, path: Path) -> bool:
    """Whether the file's tensors are those of the folder, every one, in the same bits."""
    import gguf

    reader = gguf.GGUFReader(path)
    stored = sorted(np.array(t.data).tobytes() for t in reader.tensors)
    return stored == sorted(t.float().numpy().tobytes() for t in read_checkpoint(folder).tensors.values())


def refusals(folder: Path, work: Path) -> dict[str, str]:
    weights = dict(CanonicalTensors(read_checkpoint(folder).tensors))
    key = "model.layers.1.mlp.up_proj.weight"
    cases: dict[str, dict[str, torch.Tensor]] = {
        "missing": {k: v for k, v in weights.items() if k != key},
        "extra": {**weights, "base_model.model.lora_A.weight": torch.zeros(2, 2)},
        "renamed": {("x." + k if k == key else k): v for k, v in weights.items()},
        "embedding": {**weights, "model.embed_tokens.weight": torch.zeros(3, 64)},
        "shape": {**weights, key: torch.zeros(96, 63)},
    }
    tied = work / "tied"
    cases["untied"] = {**dict(CanonicalTensors(read_checkpoint(tied).tensors)), "lm_head.weight": torch.ones(394, 64)}
    said = {}
    for name, config in {"tokenizer": {}, "scaled": {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}}.items():
        changed = work / name
        shutil.copytree(folder, changed)
        settings = json.loads((changed / "config.json").read_text()) | config
        (changed / "config.json").write_text(json.dumps(settings))
        cases[name] = weights
    tokenizer = json.loads((work / "tokenizer" / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Lowercase"}  # which llama.cpp does not do
    (work / "tokenizer" / "tokenizer.json").write_text(json.dumps(tokenizer))
    places = {"untied": tied, "tokenizer": work / "tokenizer", "scaled": work / "scaled"}
    for name, tensors in cases.items():
        out = work / f"{name}.gguf"
        try:
            write_gguf(tensors, places.get(name, folder), out, "f32")
            said[name] = "written"
        except EvalkitError as error:
            said[name] = str(error)
        assert not out.exists() or said[name] == "written"
    return said


def metadata(work: Path) -> dict[str, Any]:
    """What the engine reads of a file for a model that takes text."""
    from evalkit.engines.neutts.gguf_model import GgufModel, Threads

    tiny.write_backbone(work / "text", seed=1, form="BPE")
    settings = json.loads((work / "text" / "config.json").read_text())
    settings["neuphonic"]["supported_emotions"] = ["happy", "sad"]
    (work / "text" / "config.json").write_text(json.dumps(settings))
    assert main([str(work / "text"), str(work / "text.gguf")]) == 0
    model = GgufModel(work / "text.gguf", Threads(1, 1))
    return {"input_format": model.input_format(), "emotions": list(model.emotions() or ())}


def run(work: Path) -> dict[str, Any]:
    report: dict[str, Any] = {}
    for name, tied in (("own", False), ("tied", True)):
        folder = work / name
        tiny.write_backbone(folder, seed=1, tied=tied)
        files = {kind: work / f"{name}.{kind}.gguf" for kind in TYPES}
        for kind, path in files.items():
            assert main([str(folder), str(path), "--type", kind]) == 0
        report[name] = {
            "errors": errors(folder, files),
            "bit_equal": bit_equal(folder, files["f32"]),
            "sizes": {kind: path.stat().st_size for kind, path in files.items()},
        }
    report["refusals"] = refusals(work / "own", work)
    report["metadata"] = metadata(work)
    report["left_over"] = [path.name for path in work.glob(".*")]
    other = work / "llama"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"model_type": "llama"}))
    report["status"] = main([str(other), str(work / "other.gguf")])
    return report


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        result = run(Path(temporary))
    print()
    print(json.dumps(result))
    sys.stdout.flush()

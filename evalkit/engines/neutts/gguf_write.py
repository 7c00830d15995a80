"""Writing a NeuTTS backbone, merged or with its adapter folded, as the GGUF file that `neutts-gguf` judges.

    python -m evalkit.engines.neutts.gguf_write BACKBONE_FOLDER out.gguf --type q8_0

Runs in the environment of `neutts-gguf`. Metadata and names are those of llama.cpp's convert_hf_to_gguf.py
(conversion/base.py in llama-cpp-python 0.3.36), except for the type of the speech tokens, see `write_vocabulary`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.checkpoints import CanonicalTensors, read_checkpoint
from evalkit.engines.neutts.gguf_model import reported_errors
from evalkit.engines.neutts.gguf_vocabulary import check_tokenizer, write_vocabulary
from evalkit.errors import EvalkitError, some
from evalkit.files import disk_errors

TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7}  # llama_ftype, include/llama.h
_UNQUANTISED = ("f32", "f16")


def write_gguf(weights: Mapping[str, Tensor], folder: Path, out: Path, kind: str = "q8_0") -> None:
    """Write canonical weights as a GGUF file of a type in TYPES; `folder` has their config.json and tokenizer.

    f32 keeps every weight bit for bit. The other types convert matrices and leave vectors alone; q8_0 and q4_0 are
    llama.cpp's own quantisation. The file is whole or not there. Raises EvalkitError for another architecture than
    Qwen2, for weights that do not fit the configuration, and for a tokenizer that llama.cpp would read differently.
    """
    config = _read_config(folder)
    shapes = _shapes(config)
    _check(weights, config, shapes)
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as work:
            plain = Path(work) / "plain.gguf"
            _write_plain(weights, list(shapes), config, folder, plain, half=kind == "f16")
            check_tokenizer(plain, folder)
            done = plain if kind in _UNQUANTISED else _quantise(plain, Path(work) / "quantised.gguf", kind)
            os.replace(done, out)


def write_folder(folder: Path, out: Path, kind: str = "q8_0") -> None:
    """Write the backbone in a folder as Hugging Face lays it out. Raises EvalkitError as `write_gguf` does."""
    write_gguf(CanonicalTensors(read_checkpoint(folder).tensors), folder, out, kind)


def _read_config(folder: Path) -> Any:
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise EvalkitError(f"There is no config.json in {folder}: name the folder of a backbone.")
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type != "qwen2":
        raise EvalkitError(
            f"The backbone in {folder} is a {config.model_type} and only qwen2 can be written here: make its GGUF file "
            "with convert_hf_to_gguf.py of llama.cpp."
        )
    rope = config.rope_parameters or {}
    if rope.get("rope_type", "default") != "default" or config.use_sliding_window:
        raise EvalkitError(
            f"The backbone in {folder} scales its positions or has a sliding window, which cannot be written here: "
            "make its GGUF file with convert_hf_to_gguf.py of llama.cpp."
        )
    return config


def _shapes(config: Any) -> dict[str, torch.Size]:
    """Canonical key -> shape of every tensor that the file will hold."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    if config.tie_word_embeddings:  # llama.cpp then reads the embedding twice
        shapes.pop("lm_head.weight", None)
    return shapes


def _check(weights: Mapping[str, Tensor], config: Any, shapes: Mapping[str, torch.Size]) -> None:
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    if missing := sorted(set(shapes) - set(weights)):
        raise EvalkitError(f"The backbone lacks {len(missing)} of its tensors: {some(missing)}.")
    if extra := sorted(set(weights) - set(shapes) - tied):
        raise EvalkitError(
            f"The backbone has {len(extra)} tensors too many: {some(extra)}; fold an adapter before writing the file."
        )
    if odd := [key for key, shape in shapes.items() if weights[key].shape != shape]:
        raise EvalkitError(
            f"The backbone has {len(odd)} tensors of another shape than config.json says: {some(odd)}; give the "
            "configuration that belongs to these weights."
        )
    if tied & set(weights) and not weights["lm_head.weight"].equal(weights["model.embed_tokens.weight"]):
        raise EvalkitError(
            "config.json ties lm_head to the embedding, but the two differ: set tie_word_embeddings to false."
        )


def _write_plain(
    weights: Mapping[str, Tensor], keys: Sequence[str], config: Any, folder: Path, out: Path, half: bool
) -> None:
    import gguf

    writer = gguf.GGUFWriter(out, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.QWEN2])
    _write_parameters(writer, config)
    writer.add_file_type(TYPES["f16" if half else "f32"])
    write_vocabulary(writer, folder, config)
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config.num_hidden_layers)
    for key in keys:
        name, tensor = table.get_name(key, try_suffixes=(".weight", ".bias")), weights[key]
        writer.add_tensor(name, (tensor.half() if half and tensor.ndim > 1 else tensor.float()).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_parameters(writer: Any, config: Any) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(float((config.rope_parameters or {}).get("rope_theta", 10000.0)))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    neuphonic = getattr(config, "neuphonic", None) or {}
    if form := neuphonic.get("input_format"):
        writer.add_string("neuphonic.input_format", form)
    if emotions := neuphonic.get("supported_emotions"):
        writer.add_array("neuphonic.supported_emotions", list(emotions))


def _quantise(plain: Path, out: Path, kind: str) -> Path:
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = TYPES[kind]
    parameters.nthread = os.cpu_count() or 1
    reported_errors()
    status = llama_cpp.llama_model_quantize(str(plain).encode(), str(out).encode(), parameters)
    if status:
        raise EvalkitError(f"llama.cpp could not quantise the weights to {kind} (status {status}): write f16 instead.")
    return out


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gguf_write", description="Write a NeuTTS backbone as a GGUF file.")
    parser.add_argument("backbone", type=Path, help="a folder with config.json, tokenizer and weights")
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("--type", choices=TYPES, default="q8_0", help="how the matrices are stored (default: q8_0)")
    given = parser.parse_args(arguments)
    try:
        write_folder(given.backbone, given.out, given.type)
    except EvalkitError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The backbone on vLLM, where that is installed: batches by its own scheduler, on CUDA."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.checkpoints import fingerprint
from evalkit.engines.neutts.backbone import DTYPES, check_fit, empty_network
from evalkit.engines.neutts.generation import Sampling
from evalkit.errors import EvalkitError


class VllmBackbone:
    """vLLM reads weights from a folder of its own and fuses them, so what `weights` reads back is that folder's copy.

    Raises EvalkitError where vLLM or CUDA is missing, and for an adapter.
    """

    def __init__(self, folder: Path, dtype: str, device: torch.device, adapter: Path | None) -> None:
        if find_spec("vllm") is None:
            raise EvalkitError("--set backend=vllm: vllm is not installed in this environment; leave the setting out.")
        if device.type != "cuda":
            raise EvalkitError("--set backend=vllm runs on CUDA: give --device cuda, or leave the setting out.")
        if adapter:
            raise EvalkitError("--set backend=vllm takes no adapter: give it as the checkpoint with --base, folded in.")
        self._folder, self._dtype = folder, dtype
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._model: Any = None

    def load(self, weights: Mapping[str, Tensor]) -> str:
        """As Backbone.load; starts vLLM anew."""
        with torch.device("meta"):
            network = empty_network(self._folder, DTYPES[self._dtype])
        check_fit(weights, network.state_dict(), network.config.tie_word_embeddings)
        self._model = None  # frees the GPU before the next takes it
        self._copy = tempfile.TemporaryDirectory(prefix="evalkit-vllm-")
        place = Path(self._copy.name)
        for file in self._folder.glob("*.json"):
            if not file.name.endswith(".index.json"):
                shutil.copy(file, place)
        save = import_module("safetensors.torch").save_file
        stored = {key: tensor.to("cpu", DTYPES[self._dtype]).contiguous().clone() for key, tensor in weights.items()}
        save(stored, place / "model.safetensors", {"format": "pt"})
        self._model = import_module("vllm").LLM(model=str(place), dtype=self._dtype, enable_prefix_caching=False)
        return fingerprint(self.weights())

    def weights(self) -> dict[str, Tensor]:
        if self._copy is None:
            return {}
        read = import_module("safetensors.torch").load_file(Path(self._copy.name) / "model.safetensors")
        return {key: tensor.float() for key, tensor in read.items()}

    def generate(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], how: Sampling) -> list[list[int]]:
        """As generation.generate, with vLLM's own random numbers, from each request's seed."""
        vllm = import_module("vllm")
        settings = [
            vllm.SamplingParams(
                temperature=how.temperature,
                top_k=how.top_k,
                seed=seed % 2**63,
                min_tokens=how.min_new_tokens,
                max_tokens=how.max_length - len(prompt),
                stop_token_ids=[how.end],
                detokenize=False,
            )
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        given = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        said = [one.outputs[0] for one in self._model.generate(given, settings, use_tqdm=False)]
        # vLLM leaves out the token that stopped it, or not, by version.
        return [
            [*(t for t in one.token_ids if t != how.end), *([how.end] if one.finish_reason == "stop" else [])]
            for one in said
        ]

    def steps(self, prompt: Sequence[int], seed: int, how: Sampling) -> Iterator[int]:
        raise EvalkitError("--set backend=vllm does not stream: leave the setting out to measure latency.")

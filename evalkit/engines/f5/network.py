"""The package's CFM and DiT, built without weights, and the strict load of canonical ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from evalkit.engines.f5.configuration import BANDS, MEL, Configuration
from evalkit.engines.f5.padding import Padding, make_exact
from evalkit.engines.f5.text import Vocabulary
from evalkit.errors import EvalkitError, some

EMBEDDING = "transformer.text_embed.text_embed.weight"
ROTARY = "transformer.rotary_embed.inv_freq"  # computed, never learned
# Buffers that files of 2024 still have; the package's loader drops them too (utils_infer.py:213).
LEGACY = ("mel_spec.mel_stft.mel_scale.fb", "mel_spec.mel_stft.spectrogram.window")
ROUNDED = 2.0**-8  # relative: what storing as bfloat16 may change


@dataclass
class Network:
    """cfm: `f5_tts.model.CFM` in evaluation mode; padding: what to tell its transformer of a batch."""

    configuration: Configuration
    cfm: Any
    padding: Padding

    def state(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.cfm.state_dict()
        return state


def build(configuration: Configuration, vocabulary: Vocabulary) -> Network:
    """A network with random weights, on the CPU. Raises EvalkitError for sizes that DiT does not take."""
    from f5_tts.model import CFM, DiT

    try:
        with torch.random.fork_rng(devices=[]):  # layers draw their first weights from the global generator
            transformer = DiT(**configuration.arch, text_num_embeds=len(vocabulary.index), mel_dim=BANDS)
            cfm = CFM(transformer, mel_spec_kwargs=dict(MEL), vocab_char_map=dict(vocabulary.index))
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise EvalkitError(f"{configuration.name} describes no DiT that f5-tts can build: {error}") from error
    return Network(configuration, cfm.eval().requires_grad_(False), make_exact(transformer))


def load_strictly(network: Network, weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Copy canonical CFM weights into the network.

    Returns the network's own tensors by the keys that were given, and notes on what was left out. The rotary table may
    be missing; the package's strict load copies it too. Raises EvalkitError naming what is missing, extra or
    mis-shaped; nothing is copied then.
    """
    state = network.state()
    given = {key: tensor for key, tensor in weights.items() if key not in LEGACY}
    _check(network.configuration.name, state, given)
    notes = _rotary_notes(state[ROTARY], given)
    if dropped := [key for key in weights if key in LEGACY]:
        notes.append(f"Left out, as F5-TTS' own loader does: {some(dropped)}.")
    for key, tensor in given.items():
        state[key].copy_(tensor)
    return {key: state[key] for key in given}, notes


def _check(name: str, state: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    missing = [key for key in state if key not in given and key != ROTARY]
    extra = [key for key in given if key not in state]
    odd = {key for key, wanted in state.items() if key in given and given[key].shape != wanted.shape}
    if odd == {EMBEDDING} and given[EMBEDDING].ndim == 2 and not missing and not extra:
        rows, wanted = len(given[EMBEDDING]), len(state[EMBEDDING])
        raise EvalkitError(
            f"'{EMBEDDING}' has {rows} rows, for a vocabulary of {rows - 1} symbols, and the vocabulary in use has "
            f"{wanted - 1}; name the one that the checkpoint was trained with: --set vocab=vocab.txt."
        )
    shapes = [f"{key} {list(given[key].shape)} instead of {list(state[key].shape)}" for key in state if key in odd]
    listed = {"missing": missing, "extra": extra, "of another shape": shapes}
    problems = [f"{len(names)} {what} ({some(names)})" for what, names in listed.items() if names]
    if problems:
        raise EvalkitError(
            f"These weights do not fit {name}: {'; '.join(problems)}. Nothing was loaded; of another size, name the "
            "configuration with --set config=NAME or --set model_cfg=FILE.yaml."
        )


def _rotary_notes(computed: Tensor, given: Mapping[str, Tensor]) -> list[str]:
    if ROTARY not in given or torch.equal(given[ROTARY].to(computed), computed):
        return []
    table = given[ROTARY].to(computed)
    if not torch.allclose(table, computed, rtol=ROUNDED, atol=0):
        raise EvalkitError(
            f"'{ROTARY}' is not the table that f5-tts computes (off by {float((table - computed).abs().max()):.2g}); "
            "it is no weight and must not be merged or trained: leave it out of the checkpoint. Nothing was loaded."
        )
    return [f"'{ROTARY}' was stored rounded; it is used as it was stored, as F5-TTS does."]

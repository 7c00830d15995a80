"""Whisper models from openai-whisper's files: which one, in which precision, and how many clips fit at once."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from metrics.weights import find, require
from metrics.whisper_heard import MOST_TOKENS

AUTO = "auto"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
MOST_BEAMS = 10
TURBO = "large-v3-turbo"

# Of `whisper.tokenizer`, whose import is slow.
_CODES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la "
    "mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be "
    "tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue"
)
LANGUAGES = tuple(_CODES.split())
ENGLISH = LANGUAGES[:1]

_FRAMES = 1500  # of the encoder's output: 30 s, 20 ms each
_CPU_BYTES = 768 * 2**20  # for activations
_CPU_CLIPS, _CUDA_CLIPS = 16, 256  # more at once is not faster


def default_models(device: torch.device, language: str) -> tuple[str, str]:
    """The models that `auto` stands for: the one for this device, then the one to take where only that is on disk."""
    small = "base.en" if language == "en" else "base"
    return (TURBO, small) if device.type == "cuda" else (small, TURBO)


def choose_model(model: str, device: torch.device, language: str, kind: str = "whisper") -> str:
    """`model`, or what `auto` stands for on this device and disk."""
    if model != AUTO:
        return model
    wanted = default_models(device, language)
    return next((name for name in wanted if find(kind, name) is not None), wanted[0])


def missing_weights(model: str, language: str, kind: str = "whisper") -> str | None:
    """None if the weights of `model` are on disk, else the sentence for `Metric.unavailable`."""
    chosen = choose_model(model, torch.device("cpu"), language, kind)
    try:
        if find(kind, chosen) is None:
            require(kind, chosen)  # which says what is missing
    except ValueError as error:
        return str(error).rstrip(".")
    return None


def check_options(model: str, language: str, beam: int, dtype: str, dtypes: Sequence[str]) -> None:
    """Raise ValueError on an option that no model has, or that this one has not."""
    if language not in LANGUAGES:
        raise ValueError(
            f"language={language}: Whisper has no language of that code; English is en, Hindi hi, Tamil ta."
        )
    check_language(model, language, ENGLISH if model.endswith(".en") else LANGUAGES)
    if not 0 <= beam <= MOST_BEAMS:
        raise ValueError(f"beam={beam}: it takes a value from 0 to {MOST_BEAMS}.")
    if dtype not in dtypes:
        raise ValueError(f"dtype={dtype}: it takes one of {', '.join(dtypes)}.")


def check_language(model: str, language: str, known: Sequence[str]) -> None:
    """Raise ValueError if the model does not know the language, which Whisper's English models ignore silently."""
    if language not in known:
        what = "English only" if len(known) == 1 else f"{len(known)} languages"
        raise ValueError(f"The model {model} hears {what}: give one that knows language={language}.")


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """`dtype` by name; `auto` is float32 on a CPU and float16, openai-whisper's own choice, on CUDA."""
    if dtype == AUTO:
        return torch.float16 if device.type == "cuda" else torch.float32
    return DTYPES[dtype]


def load_model(path: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """`whisper.model.Whisper` with the weights of an openai-whisper file, whose keys must match exactly.

    As in openai-whisper only matrix products and convolutions run in `dtype`; norms and probabilities are float32.
    Raises ValueError, naming the file, if it is not such a file or its tensors are not those of its dimensions.
    """
    from whisper.model import Conv1d, Linear, ModelDimensions, Whisper

    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        dims = ModelDimensions(**stored["dims"])
        model = Whisper(dims)
        model.load_state_dict(stored["model_state_dict"])
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, EOFError) as error:
        raise ValueError(
            f"{path} is not a checkpoint of openai-whisper ({_problem(error)}): give a .pt file with 'dims' and "
            "'model_state_dict', or the name of a model."
        ) from error
    if dims.n_mels not in (80, 128) or (dims.n_audio_ctx, dims.n_text_ctx) != (_FRAMES, 2 * MOST_TOKENS):
        raise ValueError(
            f"{path} takes {dims.n_mels} mels, {dims.n_audio_ctx} frames and {dims.n_text_ctx} tokens, which none of "
            f"Whisper's models does: 80 or 128, {_FRAMES}, {2 * MOST_TOKENS}."
        )
    for module in model.modules():
        if isinstance(module, Linear | Conv1d):  # they cast their weights in every call otherwise
            module.to(dtype)
    return model.to(device).eval()


def _problem(error: Exception) -> str:
    """In one line. torch's own message on a file with code in it is long, and advises to run it."""
    if isinstance(error, pickle.UnpicklingError):
        named = re.search(r"GLOBAL (\S+)", str(error))
        return f"it refers to {named[1]}, code that is not run" if named else "it is no file of torch's"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def clips_at_once(dims: Any, beam: int, dtype: torch.dtype, device: torch.device) -> int:
    """How many clips of 30 s a forward pass may hold: by free memory on CUDA, by a fixed bound on a CPU.

    The pipeline's halving takes care of the cases in which this estimate is too large.
    """
    encoder = 20 * dims.n_audio_state  # residual, norms in float32, queries to values, and four-fold MLP in and out
    cross = 2 * beam * dims.n_text_layer * dims.n_text_state
    own = dims.n_text_ctx * cross + 8 * beam * dims.n_vocab
    per_clip = dtype.itemsize * _FRAMES * (encoder + cross) + 4 * own
    budget, most = _CPU_BYTES, _CPU_CLIPS
    if device.type == "cuda":
        budget, most = torch.cuda.mem_get_info(device)[0] // 2, _CUDA_CLIPS
    return int(max(1, min(most, budget // per_clip)))

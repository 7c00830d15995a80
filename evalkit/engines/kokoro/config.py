"""A model's configuration: sizes of the network and its table of symbols."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError, some

STYLE = 128  # a voice pack holds two styles of this width (kokoro 0.9.4, model.py:102 and 116)
LONGEST_TEXT = 510  # symbols; ALBERT has 512 positions, two of them for the ends
_SIZES = ("n_token", "hidden_dim", "style_dim", "n_layer", "max_dur", "n_mels", "text_encoder_kernel_size")
_GENERATOR = ("upsample_rates", "upsample_kernel_sizes", "gen_istft_n_fft", "gen_istft_hop_size")
_LARGEST_FILE = 2**20  # bytes


@dataclass(frozen=True)
class Config:
    """What `config.json` says. values: as KModel takes it; symbols: symbol -> index; hop: samples per frame."""

    values: Mapping[str, Any]
    symbols: Mapping[str, int]
    hop: int


def read_config(path: Path | None) -> Config:
    """The configuration in a file, or that of Kokoro-82M 1.0. Raises EvalkitError for a file that is none."""
    if path is None:
        text = resources.files("evalkit.engines.kokoro").joinpath("release.json").read_text(encoding="utf-8")
        return _config(json.loads(text), "the release's configuration")
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise EvalkitError(f"{path} is larger than any configuration; name Kokoro's config.json.")
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvalkitError(f"{path} cannot be read ({error.strerror}); name Kokoro's config.json.") from error
    except (ValueError, RecursionError) as error:
        raise EvalkitError(f"{path} is not JSON: {error}; name Kokoro's config.json.") from error
    return _config(values, str(path))


def _config(values: Any, name: str) -> Config:
    if not isinstance(values, dict):
        raise EvalkitError(f"{name} holds no JSON object; name Kokoro's config.json.")
    generator: Any = values.get("istftnet")
    absent = [key for key in (*_SIZES, "dropout", "plbert", "vocab", "istftnet") if key not in values]
    absent += [f"istftnet.{key}" for key in _GENERATOR if not isinstance(generator, dict) or key not in generator]
    if absent:
        raise EvalkitError(f"{name} lacks {some(absent)}; name the config.json of a Kokoro model.")
    sizes = [*(values[key] for key in _SIZES), *generator["upsample_rates"]]
    if any(type(size) is not int or size < 1 for size in [*sizes, generator["gen_istft_hop_size"]]):
        raise EvalkitError(f"{name} has a size that is no positive whole number; name the config.json of the model.")
    if values["style_dim"] != STYLE:
        raise EvalkitError(f"{name} has style_dim {values['style_dim']}; Kokoro's voice packs need {STYLE}.")
    _check_symbols(values["vocab"], values["n_token"], name)
    # F0 and energy have two values per frame of the alignment, and the generator makes audio at their rate.
    hop = 2 * math.prod(generator["upsample_rates"]) * generator["gen_istft_hop_size"]
    return Config(values, values["vocab"], hop)


def _check_symbols(symbols: Any, count: int, name: str) -> None:
    good = isinstance(symbols, dict) and all(
        len(symbol) == 1 and type(index) is int and 0 < index < count for symbol, index in symbols.items()
    )
    if not good:
        raise EvalkitError(
            f"{name} has a vocab that does not map single characters to numbers from 1 to {count - 1}; mend it."
        )

"""The settings of a peft adapter, which may come from a stranger: checked, bounded, never executed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.errors import EvalkitError

CONFIG = "adapter_config.json"
# peft writes a kilobyte, and a line for each layer that has a rank of its own.
LARGEST_CONFIG = 4 * 2**20
SHOWN_CHARACTERS = 80

# Settings with which the weights of base and adapter are not what this package computes, and what they do instead.
REFUSED: Mapping[str, str] = {
    "layer_replication": "repeats layers of the base",
    "target_parameters": "changes tensors that are no layer's weight",
    "trainable_token_indices": "replaces single rows of an embedding",
    "alora_invocation_tokens": "changes only some tokens of the input",
    "arrow_config": "chooses among adapters for every token",
    "monteclora_config": "draws its weights at random",
    "kasa_config": "truncates the base's weights",
    "use_qalora": "pools the inputs of a quantised base",
    "use_bdlora": "stores block-diagonal factors",
}
# Initialisations that also change the base, so that the update belongs to weights that nobody saved. Source: peft
# 0.21.2 `lora.layer.LoraLayer.*_init`; the others (gaussian, eva, orthogonal, mica) leave the base as it is.
MUTATES_BASE = ("pissa", "olora", "corda", "lora_ga", "loftq")
# Patterns are regular expressions of a stranger; these two limits keep matching from taking forever.
REPEATED_GROUP = re.compile(r"\)[*+{]")
MOST_REPETITIONS = 3

Rank = Annotated[int, Field(ge=1, le=2**20)]
Alpha = Annotated[float, Field(ge=0)]


class Settings(BaseModel):
    """The fields of peft's LoraConfig on which the update depends."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)

    peft_type: Literal["LORA"]
    r: Rank
    lora_alpha: Alpha
    rank_pattern: dict[str, Rank] | None = None
    alpha_pattern: dict[str, Alpha] | None = None
    use_rslora: bool | None = None
    use_dora: bool | None = None
    lora_bias: bool | None = None
    fan_in_fan_out: bool | None = None
    init_lora_weights: bool | str | None = None
    base_model_name_or_path: str | None = None

    def rank_of(self, module: str) -> int:
        """The rank that the settings give a module ("decoder.proj")."""
        return int(_pattern_value(self.rank_pattern, module, self.r))

    def scale_of(self, module: str) -> float:
        """alpha / rank, or with `use_rslora` alpha / sqrt(rank) (Kalajdzievski 2023, eq. 4)."""
        rank = self.rank_of(module)
        alpha = _pattern_value(self.alpha_pattern, module, self.lora_alpha)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def read_settings(folder: Path) -> Settings:
    """Read `adapter_config.json`. Raises EvalkitError if it is missing, damaged, too large or of another kind."""
    path = folder / CONFIG
    if not path.is_file():  # reading a pipe would wait forever
        raise EvalkitError(f"{folder} is not a peft adapter folder: it has no file {CONFIG}.")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_CONFIG + 1)
    except OSError as error:
        raise EvalkitError(f"The adapter's settings {path} cannot be read: {error.strerror or error}.") from error
    if len(content) > LARGEST_CONFIG:
        raise EvalkitError(f"The adapter's settings {path} are larger than {LARGEST_CONFIG // 2**20} MiB; mend them.")
    try:
        settings = Settings.model_validate_json(content)
    except ValidationError as error:
        raise EvalkitError(_fault(path, error)) from error
    _check_patterns(path, [*(settings.rank_pattern or {}), *(settings.alpha_pattern or {})])
    return settings


def refuse_undefined(folder: Path, settings: Settings) -> None:
    """Raise EvalkitError, naming the setting, if the update is no function of the base's and the adapter's weights."""
    for name, effect in REFUSED.items():
        if (settings.model_extra or {}).get(name):
            raise EvalkitError(
                f"The adapter {folder} sets '{name}', which {effect}; merge it with peft into the model it was "
                "trained on, and use the merged checkpoint."
            )
    start = settings.init_lora_weights
    if isinstance(start, str) and start.lower().startswith(MUTATES_BASE):
        raise EvalkitError(
            f"The adapter {folder} was started with 'init_lora_weights': {start[:SHOWN_CHARACTERS]!r}, which changed "
            "its base as well; save it with peft's path_initial_model_for_weight_conversion, or merge it there."
        )


def find_base(folder: Path) -> Path | None:
    """The base that the adapter names, if it is on this disk: relative to the adapter's folder, then to its parent.

    None for no name, and for the name of a model on a hub. Raises EvalkitError for damaged settings.
    """
    name = read_settings(folder).base_model_name_or_path
    if not name:
        return None
    for start in (folder, folder.absolute().parent):
        try:
            if (start / name).exists():
                return start / name
        except OSError:  # no name of a file: too long for this disk, or behind a folder that may not be searched
            return None
    return None


def common_base(folders: Sequence[Path]) -> Path | str:
    """The base of several adapters: where it is on this disk, else the name that they give it, "" if none gives one.

    Raises EvalkitError if two of them name different ones.
    """
    names = {folder: find_base(folder) or read_settings(folder).base_model_name_or_path for folder in folders}
    named = {folder: name.resolve() if isinstance(name, Path) else name for folder, name in names.items() if name}
    if not named:
        return ""
    (first, base), *others = named.items()
    for folder, other in others:
        if other != base:
            raise EvalkitError(
                f"The adapters {first} and {folder} are of different bases, {str(base)[:SHOWN_CHARACTERS]} and "
                f"{str(other)[:SHOWN_CHARACTERS]}; combine adapters of one base, or mend 'base_model_name_or_path' in "
                f"{CONFIG} if it is one."
            )
    return base


def _pattern_value(patterns: Mapping[str, float] | None, module: str, default: float) -> float:
    """The value of the first pattern that matches a module's name or an end of it. Source: peft `get_pattern_key`."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def _check_patterns(path: Path, patterns: list[str]) -> None:
    for pattern in patterns:
        repetitions = sum(pattern.count(sign) for sign in "*+{")
        if REPEATED_GROUP.search(pattern) or repetitions > MOST_REPETITIONS:
            raise EvalkitError(
                f"The adapter's settings {path} have the pattern {pattern[:SHOWN_CHARACTERS]!r}, which could take "
                "forever to match; write the module's name instead."
            )
        try:
            re.compile(rf"(.*\.)?({pattern})$")
        except (re.error, OverflowError, RecursionError) as error:
            raise EvalkitError(
                f"The adapter's settings {path} have the pattern {pattern[:SHOWN_CHARACTERS]!r}, which is no regular "
                f"expression ({str(error)[:SHOWN_CHARACTERS]}); mend it."
            ) from error


def _fault(path: Path, error: ValidationError) -> str:
    faults = {str(fault["loc"][0]) if fault["loc"] else "": fault for fault in error.errors(include_url=False)}
    if "" in faults:
        return (
            f"The adapter's settings {path} cannot be read ({faults['']['msg'][:SHOWN_CHARACTERS]}); copy them again."
        )
    if "peft_type" in faults:
        return f"The adapter's settings {path} are not those of a LoRA adapter ('peft_type': 'LORA')."
    name, fault = next(iter(faults.items()))
    found: Any = "nothing" if fault["type"] == "missing" else repr(fault["input"])[:SHOWN_CHARACTERS]
    return f"The adapter's settings {path} give no usable '{name}' (found {found}): {fault['msg']}."

"""Names for groups of layers ("early", "decoder", "prosody"), and which tensors of which engine they mean."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from evalkit.checkpoints.layouts import section_of
from evalkit.errors import EvalkitError
from evalkit.registry import unknown

REGEX = "re:"
RANGE = re.compile(r"^(?P<stack>.+)\.(?P<first>\d+)-(?P<last>\d+)$")

# A preset is a list of patterns as `select` reads them. "{early}" and "{late}" stand for the two halves of a stack of
# numbered blocks, and "{stack}" for the stack itself.
Presets = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Family:
    """Checkpoints that name their layers alike. stack: the key in front of the numbered blocks that are halved."""

    name: str
    fits: Callable[[Collection[str]], bool]
    presets: Presets
    stack: str | None = None

    def describe(self, preset: str) -> list[str]:
        """The patterns of a preset for people, with the halves of the stack in words."""
        words = {"{early}": f"first half of {self.stack}", "{late}": f"second half of {self.stack}"}
        return [words.get(pattern, pattern).replace("{stack}", self.stack or "") for pattern in self.presets[preset]]


def _sections(*names: str) -> Callable[[Collection[str]], bool]:
    return lambda keys: {section_of(key) for key in keys} == set(names)


def _has(part: str) -> Callable[[Collection[str]], bool]:
    return lambda keys: any(part in key for key in keys)


# Halves as HE-Vector (arXiv 2512.18699) takes them: F5-TTS' dialect goes into the text embedding and the first half of
# the DiT blocks, its emotion into the second half.
_BLOCKS: Presets = {
    "early": ("{early}",),
    "late": ("{late}",),
    "attention": (r"re:{stack}\.\d+\.(attn|self_attn)\.",),
    "feedforward": (r"re:{stack}\.\d+\.(ff|mlp)\.",),
}
FAMILIES = (
    Family(
        "tinytts",
        _sections("encoder", "predictor", "decoder"),
        {
            "text": ("encoder",),
            "pronunciation": ("encoder",),
            "prosody": ("predictor",),
            "voice": ("decoder",),
            "decoder": ("decoder",),
            "early": ("encoder", "predictor"),
            "late": ("decoder",),
        },
    ),
    Family(
        "Kokoro",
        lambda keys: {"bert", "bert_encoder", "predictor", "decoder", "text_encoder"} <= {section_of(k) for k in keys},
        {
            "text": ("bert", "bert_encoder", "text_encoder"),
            "prosody": ("predictor",),
            "duration": ("predictor.text_encoder", "predictor.lstm", "predictor.duration_proj"),
            "pitch": ("predictor.shared", "predictor.F0", "predictor.N", "predictor.F0_proj", "predictor.N_proj"),
            "decoder": ("decoder",),
            "vocoder": ("decoder.generator",),
            "early": ("bert", "bert_encoder", "text_encoder", "predictor"),
            "late": ("decoder",),
        },
    ),
    Family(
        "F5-TTS",
        _has("transformer.transformer_blocks."),
        {
            **_BLOCKS,
            "text": ("transformer.text_embed",),
            "other": (
                "transformer.time_embed",
                "transformer.input_embed",
                "transformer.rotary_embed",
                "transformer.norm_out",
                "transformer.proj_out",
            ),
        },
        "transformer.transformer_blocks",
    ),
    Family(
        "CosyVoice llm",
        _has("llm.model.model.layers."),
        {
            **_BLOCKS,
            "text": ("llm.model.model.embed_tokens",),
            "speech": ("llm_embedding", "speech_embedding", "llm_decoder"),
            "other": ("llm.model.model.norm", "llm.model.lm_head"),
        },
        "llm.model.model.layers",
    ),
    Family(
        "NeuTTS and other causal language models",
        _has("model.layers."),
        {**_BLOCKS, "text": ("model.embed_tokens",), "other": ("model.norm", "lm_head")},
        "model.layers",
    ),
)


def family_of(keys: Collection[str]) -> Family | None:
    """The family whose names a checkpoint's canonical keys have."""
    return next((family for family in FAMILIES if family.fits(keys)), None)


def select(pattern: str, keys: Collection[str]) -> set[str]:
    """The canonical keys that a pattern means.

    A preset of the checkpoint's family ("early"); a part of the tree ("decoder", "decoder.blocks.3"); a range of
    numbered blocks ("decoder.blocks.0-2"); a wildcard ("*.bias"); or, behind "re:", a regular expression that the key
    must start with. Raises EvalkitError if nothing is meant.
    """
    family = family_of(keys)
    patterns = family.presets.get(pattern, (pattern,)) if family else (pattern,)
    found = {key for part in patterns for key in _matching(part, family, keys)}
    if not found:
        raise EvalkitError(_nothing(pattern, family, keys))
    return found


def _matching(pattern: str, family: Family | None, keys: Collection[str]) -> Iterable[str]:
    stack = family.stack if family else None
    if stack is not None and pattern in ("{early}", "{late}"):
        count = _blocks(stack, keys)
        pattern = f"{stack}.0-{count // 2 - 1}" if pattern == "{early}" else f"{stack}.{count // 2}-{count - 1}"
    if pattern.startswith(REGEX):
        try:
            expression = re.compile(pattern.removeprefix(REGEX).replace("{stack}", re.escape(stack or "")))
        except re.error as error:
            raise EvalkitError(f"The layer pattern '{pattern}' is no regular expression: {error}.") from error
        return [key for key in keys if expression.match(key)]
    if blocks := RANGE.match(pattern):
        first, last = int(blocks["first"]), int(blocks["last"])
        return [
            key for key in keys if (number := _number(blocks["stack"], key)) is not None and first <= number <= last
        ]
    if any(sign in pattern for sign in "*?["):
        return fnmatch.filter(keys, pattern)
    return [key for key in keys if key == pattern or key.startswith(f"{pattern}.")]


def _number(stack: str, key: str) -> int | None:
    """3 of "decoder.blocks.3.conv.weight" for the stack "decoder.blocks"."""
    number = key.removeprefix(f"{stack}.").partition(".")[0] if key.startswith(f"{stack}.") else ""
    return int(number) if number.isdecimal() else None


def _blocks(stack: str, keys: Collection[str]) -> int:
    return 1 + max((number for key in keys if (number := _number(stack, key)) is not None), default=-1)


def _nothing(pattern: str, family: Family | None, keys: Collection[str]) -> str:
    sections = {section_of(key) for key in keys}
    known = sections | set(family.presets if family else ())
    hint = unknown("layer pattern", pattern, known)
    return f"{hint} No tensor has such a name; see evalkit list presets, or evalkit inspect."

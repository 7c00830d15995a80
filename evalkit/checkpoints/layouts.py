"""Which engine a checkpoint belongs to, told from its canonical keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from evalkit.engines.base import Layout
from evalkit.errors import EvalkitError

KOKORO = {"bert", "bert_encoder", "predictor", "decoder", "text_encoder"}
# StyleTTS2 `models.py:build_model`; Kokoro's release leaves out the encoders of style.
STYLETTS2 = KOKORO | {"style_encoder", "predictor_encoder"}
SHOWN = 5


def section_of(key: str) -> str:
    """The first component of a full key: "encoder" of "encoder.embedding.weight"."""
    return key.partition(".")[0]


def recognise(keys: Collection[str], layouts: Mapping[str, Sequence[Layout]]) -> str:
    """Name of the engine whose layout fits, from canonical keys and every engine's layouts (`spec.layouts`).

    Raises EvalkitError if no engine fits, saying what the checkpoint looks like, or if several do.
    """
    fitting = [engine for engine, choices in layouts.items() if any(_fits(keys, layout) for layout in choices)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise EvalkitError(f"The checkpoint fits several engines ({', '.join(fitting)}); name one with --engine.")
    known = ", ".join(sorted(layouts)) or "none"
    for system, looks_like in FOREIGN.items():
        if looks_like(keys):
            raise EvalkitError(
                f"This looks like a {system} checkpoint, for which no engine is installed; installed engines: {known}."
            )
    sections = ", ".join(sorted({section_of(key) for key in keys})) or "none"
    raise EvalkitError(
        f"No installed engine ({known}) has a checkpoint of this layout: its sections are {sections}, "
        f"its first keys {', '.join(list(keys)[:SHOWN])}; install the engine it was trained for."
    )


def _fits(keys: Collection[str], layout: Layout) -> bool:
    found = {section_of(key) for key in keys}
    return found.issuperset(layout.sections) and all(marker in keys for marker in layout.markers)


def _has_sections(wanted: set[str]) -> Callable[[Collection[str]], bool]:
    return lambda keys: wanted <= {section_of(key) for key in keys}


def _is_f5(keys: Collection[str]) -> bool:
    # Behind `transformer.` in a released file, behind `ema_model.` or `model_state_dict.` in one from training.
    return any("transformer.transformer_blocks." in key for key in keys)


# The larger family first: a StyleTTS2 checkpoint has all sections of a Kokoro one.
FOREIGN: Mapping[str, Callable[[Collection[str]], bool]] = {
    "StyleTTS2": _has_sections(STYLETTS2),
    "Kokoro": _has_sections(KOKORO),
    "F5-TTS": _is_f5,
}

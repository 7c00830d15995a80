"""NeuTTS' voices: the codes of a reference clip, made once, and what is said in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evalkit.engines.base import Voice
from evalkit.errors import EvalkitError

CODES = 65536  # NeuCodec: eight dimensions of four levels
CODE_FILES = (".pt", ".npy")


@dataclass(frozen=True)
class VoiceCodes:
    """What `Voice.data` is: the clip's codes, 50 a second, and the text said in it, as it is written."""

    codes: tuple[int, ...]
    text: str


def make_voice(name: str, codes: tuple[int, ...], text: str) -> Voice:
    """A voice whose digest covers codes and text, and neither its name nor where they lie."""
    content = hashlib.sha256(np.asarray(codes, dtype="<i4").tobytes())
    content.update(text.encode())
    return Voice(name, content.hexdigest(), VoiceCodes(codes, text))


def is_codes(reference: Path) -> bool:
    """Whether --voice names codes, or a speaker that comes with the package, and not a clip."""
    return reference.suffix.lower() in CODE_FILES or _speaker(reference) is not None


def read_voice(reference: Path, text: str | None) -> Voice:
    """A file of codes (.pt, .npy), or the name of a speaker of the package ("emily"), as a voice.

    text: what is said in the clip; None takes NAME.txt beside the codes. Raises EvalkitError if there is none, or if
    the file does not hold codes.
    """
    path = reference if reference.exists() else _speaker(reference) or reference
    return make_voice(path.stem, read_codes(path), text_of(path, text))


def text_of(path: Path, text: str | None) -> str:
    """What is said in a voice: the given text, or NAME.txt beside its file. Raises EvalkitError if it is empty."""
    said = (text if text is not None else _text_beside(path)).strip()
    if not said:
        raise EvalkitError(f"What is said in the voice {path.name} is empty: write it in {path.stem}.txt beside it.")
    return said


def read_codes(path: Path) -> tuple[int, ...]:
    """Codes of a .pt (a tensor) or .npy (an array) of whole numbers; dimensions of size one are dropped."""
    try:
        if path.suffix.lower() == ".npy":
            content: Any = np.load(path, allow_pickle=False)
        else:
            content = torch.load(path, weights_only=True, map_location="cpu")
        codes = np.asarray(content).squeeze()
    except OSError as error:
        raise EvalkitError(f"The voice {path} cannot be read: {error.strerror or error}; check the path.") from error
    except Exception as error:
        raise EvalkitError(f"The voice {path} is no tensor or array of codes; encode its clip again.") from error
    return _checked(codes, path)


def _checked(codes: np.ndarray[Any, Any], path: Path) -> tuple[int, ...]:
    if codes.ndim != 1 or not codes.size or codes.dtype.kind not in "iu":
        raise EvalkitError(
            f"The voice {path} holds {codes.dtype} of shape {list(codes.shape)}: NeuTTS takes one row of whole numbers."
        )
    if codes.min() < 0 or codes.max() >= CODES:
        raise EvalkitError(
            f"The voice {path} holds codes from {codes.min()} to {codes.max()}: NeuCodec's go from 0 to {CODES - 1}."
        )
    return tuple(int(code) for code in codes)


def _text_beside(path: Path) -> str:
    try:
        return path.with_suffix(".txt").read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvalkitError(
            f"NeuTTS must know what is said in the voice {path.name}: write it in {path.stem}.txt beside it, "
            "or give --voice-text."
        ) from error


def _speaker(reference: Path) -> Path | None:
    """The codes of a speaker that the package brings (neutts/samples), if that is what was named."""
    package = find_spec("neutts")
    if package is None or package.origin is None or reference.name != str(reference) or reference.suffix:
        return None
    codes = Path(package.origin).parent / "samples" / f"{reference.name}.pt"
    return codes if codes.is_file() else None

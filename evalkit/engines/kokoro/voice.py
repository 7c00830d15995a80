"""Voice packs: a table of styles, one row for each length of the phoneme string, and mixes of packs."""

from __future__ import annotations

import hashlib
import math
import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from evalkit.engines.base import Voice
from evalkit.engines.kokoro.config import LONGEST_TEXT, STYLE
from evalkit.errors import EvalkitError

SHAPE = (LONGEST_TEXT, 1, 2 * STYLE)
RAW_BYTES = 4 * math.prod(SHAPE)  # kokoro.js ships packs as bare float32
_LARGEST_FILE = 8 * RAW_BYTES
_WEIGHTED = re.compile(r"^(?P<path>.+):(?P<weight>[-+]?[0-9.]+(?:[eE][-+]?\d+)?)$")
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Part:
    path: Path
    weight: float | None


def prepare(named: str) -> Voice:
    """A voice of what --voice names: a pack, or a mix "a.pt:0.7,b.pt:0.3" or "a.pt,b.pt" (their plain mean).

    data is the table [510, 1, 256], float32; the digest is the sha256 of its bytes, so a mix and a pack of the same
    content are the same voice. Raises EvalkitError for what is no pack.
    """
    parts = parse(named)
    packs = [read_pack(part.path) for part in parts]
    weights = [part.weight for part in parts if part.weight is not None]
    if weights:
        shares = torch.tensor(weights, dtype=torch.float64)[:, None, None, None]
        table = (torch.stack(packs).double() * shares).sum(0).float()
    else:
        table = packs[0] if len(packs) == 1 else torch.stack(packs).mean(0)  # kokoro 0.9.4, pipeline.py:176
    name = "+".join(p.path.stem + ("" if p.weight is None else f":{p.weight:g}") for p in parts)
    return Voice(name, hashlib.sha256(table.contiguous().numpy().tobytes()).hexdigest(), table)


def parse(named: str) -> list[Part]:
    """The packs of a mix with their weights. A pack named without a folder may lie beside the first one."""
    if Path(named).is_file():
        return [Part(Path(named), None)]
    parts: list[Part] = []
    for text in (piece.strip() for piece in named.split(",")):
        match = _WEIGHTED.match(text)
        try:
            weight = float(match["weight"]) if match else None
        except ValueError:
            raise EvalkitError(f"The voice '{named}': '{text}' has no number after the colon.") from None
        path = Path(match["path"] if match else text)
        if parts and path.name == str(path) and not path.is_file():
            path = parts[0].path.parent / path
        parts.append(Part(path, weight))
    given = [part.weight for part in parts if part.weight is not None]
    if given and len(given) < len(parts):
        raise EvalkitError(f"The voice '{named}' gives some packs a weight and others none; give all of them one.")
    if given and not abs(math.fsum(given) - 1) <= _TOLERANCE:
        raise EvalkitError(f"The weights of the voice '{named}' sum to {math.fsum(given):g}; make them sum to 1.")
    return parts


def read_pack(path: Path) -> Tensor:
    """The table in a file, [510, 1, 256] float32. Raises EvalkitError for another shape or type, and for NaN or Inf."""
    try:
        size = path.stat().st_size
        if not path.is_file() or size > _LARGEST_FILE:
            raise EvalkitError(f"{path} is no voice pack: a pack is a file of about {RAW_BYTES // 1000} kB.")
        table = _raw(path) if path.suffix == ".bin" else torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise EvalkitError(
            f"The voice pack {path} cannot be read ({error.strerror}); name a style pack (.pt)."
        ) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise EvalkitError(f"{path} is no file of torch.save that is safe to open; name a style pack (.pt).") from error
    if not isinstance(table, Tensor):
        raise EvalkitError(f"{path} holds a {type(table).__name__}, not one tensor; name a style pack (.pt).")
    if tuple(table.shape) != SHAPE or table.dtype != torch.float32:
        raise EvalkitError(
            f"{path} holds {str(table.dtype).removeprefix('torch.')} {list(table.shape)}; "
            f"Kokoro's voice packs are float32 {list(SHAPE)}."
        )
    if not bool(table.isfinite().all()):
        raise EvalkitError(f"The voice pack {path} holds NaN or Inf; extract it again.")
    return table.detach().clone()


def _raw(path: Path) -> Tensor:
    content = bytearray(path.read_bytes())
    if len(content) != RAW_BYTES:
        raise EvalkitError(f"{path} has {len(content)} bytes; a raw voice pack (.bin) has {RAW_BYTES}.")
    return torch.frombuffer(content, dtype=torch.float32).reshape(SHAPE)

"""The weights of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands import FIXTURES

from evalkit.errors import EvalkitError
from evalkit.pipeline.weights import read_weights


def test_a_checkpoint_with_a_flipped_bit_is_not_spoken_with(tmp_path: Path) -> None:
    source = FIXTURES / "voices" / "sarah.pth"
    stored = torch.load(source, weights_only=True)["decoder"]["blocks.0.mix.weight"].numpy().tobytes()
    content = bytearray(source.read_bytes())
    content[content.index(stored)] ^= 1
    (tmp_path / "sarah.pth").write_bytes(content)
    assert len(read_weights(source).tensors) > 10
    with pytest.raises(EvalkitError, match=r"sarah\.pth is damaged \(record '.*'\): copy it again"):
        read_weights(tmp_path / "sarah.pth")

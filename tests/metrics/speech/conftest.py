"""Rendered readings of names (fixtures/audio/readings), right and wrong, in two voices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from torch import Tensor

from metrics.base import ClipInfo, Entity

FOLDER = Path(__file__).resolve().parents[3] / "fixtures" / "audio" / "readings"


@pytest.fixture(scope="session")
def reading_index() -> list[dict[str, Any]]:
    lines = (FOLDER / "index.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="session")
def reading_clip() -> Callable[[dict[str, Any]], tuple[Tensor, ClipInfo]]:
    """Load one line of the index."""

    def load(line: dict[str, Any]) -> tuple[Tensor, ClipInfo]:
        samples, rate = soundfile.read(FOLDER / line["file"], dtype="float32")
        assert rate == 16000
        entity = Entity(line["spelling"], tuple(line["accepted"]), tuple(line["wrong"]))
        return torch.from_numpy(samples), ClipInfo(line["file"], text=line["text"], entities=(entity,))

    return load


@pytest.fixture(scope="session")
def readings(
    reading_index: list[dict[str, Any]], reading_clip: Callable[[dict[str, Any]], tuple[Tensor, ClipInfo]]
) -> Callable[[int], tuple[list[Tensor], list[ClipInfo]]]:
    """The first so many clips and what is known of them."""

    def load(count: int) -> tuple[list[Tensor], list[ClipInfo]]:
        loaded = [reading_clip(line) for line in reading_index[:count]]
        return [clip for clip, _ in loaded], [info for _, info in loaded]

    return load

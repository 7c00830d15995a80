"""Weights of the MOS predictors: a file that the user names, a judge that was fetched, or what the package keeps."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metrics.weights import JudgeWeights, find, require


@dataclass(frozen=True)
class WeightsSource:
    """Where one predictor's weights may lie.

    metric: what reads them. kind, name: of the judge. kept: says in which file the predictor's own package keeps what
    it downloaded. get: the command by which that package downloads it; evalkit never runs it.
    """

    metric: str
    kind: str
    name: str
    kept: Callable[[], Path]
    get: str

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.name}"

    def missing(self, given: str) -> str | None:
        """None if there is a file, else one sentence. given: what the user named, empty for none. Reads no weights."""
        if given:
            return None if Path(given).expanduser().is_file() else f"finds no weights at {given}: give a file"
        if self.kept().is_file() or find(self.kind, self.name) is not None:
            return None
        return (
            f"needs the weights {self.id}, which are not on this machine: get them with `{self.get}`, "
            f"or give the file with --set {self.metric}.weights=FILE"
        )

    def require(self, given: str) -> JudgeWeights:
        """The file with its digest: the user's, the fetched judge, or the package's. Raises ValueError if missing."""
        if problem := self.missing(given):
            raise ValueError(f"The metric {self.metric} {problem}.")
        if given:
            return require(self.kind, str(Path(given).expanduser().resolve()))
        if find(self.kind, self.name) is not None:
            return require(self.kind, self.name)
        return require(self.kind, str(self.kept()))


def read_weights(path: Path) -> Any:
    """What a torch file holds, on the CPU; nothing in it is executed. Raises ValueError if it is not plain tensors."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{path} cannot be read as weights ({cause}): give the published file, or its state dict saved anew."
        ) from error


def load_strictly(network: nn.Module, state: dict[str, Tensor], path: Path) -> nn.Module:
    """Put every tensor in its place. Raises ValueError, naming the file, if one is missing, extra or mis-shaped."""
    try:
        network.load_state_dict(state, strict=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        cause = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} holds the weights of another network ({cause}): give the published file.") from error
    return network

"""Many merges in memory: the same numbers as one merge of the files, without touching them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from evalkit.checkpoints import canonical, fingerprint, read_checkpoint
from evalkit.engines.tinytts.engine import TinyTTS
from evalkit.errors import EvalkitError
from evalkit.merging import LayerWeights, merge_checkpoints
from evalkit.merging.session import MergeSession

VOICES = Path(__file__).parents[2] / "fixtures" / "voices"


def voice(name: str) -> dict[str, Tensor]:
    return dict(read_checkpoint(VOICES / f"{name}.pth").tensors)


BASE = voice("base")
PARENTS = {"sarah": voice("sarah"), "sumit": voice("sumit")}


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize(
    ("weights", "method", "options"),
    [
        ({"sarah": 0.6, "sumit": 1.0}, "task_arithmetic", {}),
        ({"sarah": LayerWeights(0.0, {"decoder": 1.0}), "sumit": 0.3}, "task_arithmetic", {}),
        ({"sarah": 1.0, "sumit": 1.0}, "ties", {"density": 0.3}),
        ({"sarah": 1.0, "sumit": 1.0}, "dare_linear", {"density": 0.5}),
    ],
)
def test_a_session_merges_as_one_merge_does(
    tmp_path: Path, in_file: bool, weights: dict[str, Any], method: str, options: dict[str, Any]
) -> None:
    alone = merge_checkpoints(BASE, PARENTS, weights, method, options=options, seed=2)
    with MergeSession(BASE, PARENTS, mapped=tmp_path if in_file else None) as session:
        session.merge({"sarah": 0.1, "sumit": 0.2})  # an earlier point leaves no trace in the next
        merged = session.merge(weights, method, options, seed=2)
        assert bool(list(tmp_path.iterdir())) == in_file
        assert fingerprint(merged) == fingerprint(alone.tensors)
        assert list(merged) == list(alone.tensors)
    assert not list(tmp_path.iterdir())


def test_merged_states_are_their_own() -> None:
    with MergeSession(BASE, PARENTS) as session:
        first = session.merge({"sarah": 0.0, "sumit": 0.0})
        for tensor in first.values():
            tensor.zero_()
        assert fingerprint(session.merge({"sarah": 0.0, "sumit": 0.0})) == fingerprint(BASE)
    assert fingerprint(BASE) == fingerprint(canonical(voice("base")).tensors)


def test_an_engine_speaks_with_what_a_session_gives(tmp_path: Path) -> None:
    engine = TinyTTS()
    with MergeSession(BASE, PARENTS) as session:
        digests = [engine.load(session.merge({"sarah": alpha, "sumit": 1.0})) for alpha in (0.0, 0.5, 1.0)]
    assert len(set(digests)) == 3 and digests[0] == fingerprint(PARENTS["sumit"])


def test_ties_stay_and_bad_points_are_refused_without_harm() -> None:
    def tied(value: float) -> dict[str, Tensor]:
        weight = torch.full((3, 2), value).half()  # half precision: the float32 copies share no memory any more
        return {"embed.weight": weight, "head.weight": weight}

    with MergeSession(tied(1.0), {"a": tied(2.0)}) as session:
        for wrong, words in (({}, "no coefficient for a"), ({"a": 1.0, "b": 1.0}, "Unknown parent 'b'")):
            with pytest.raises(EvalkitError, match=words):
                session.merge(wrong)
        merged = session.merge({"a": 0.5}, "dare_linear", {"density": 0.5})
        assert merged["embed.weight"].data_ptr() == merged["head.weight"].data_ptr()


def test_a_session_checks_its_parents_at_the_start() -> None:
    with pytest.raises(EvalkitError, match="without a partner"):
        MergeSession(BASE, {"sarah": {"encoder.w": torch.zeros(1)}})

"""Deliberate errors in the pronunciation judges, each of which a check must catch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import parity_pronunciation as parity
import pytest
import torch
from torch import Tensor

import metrics.pocketsphinx_decoder as decoder
import metrics.pronunciation_ctc as ctc
import metrics.pronunciation_wav2vec2_judge as judge
from metrics.base import ClipBatch
from metrics.phones_vocabulary import PhoneClasses
from metrics.pronunciation_judge import NameScore
from metrics.pronunciation_pocketsphinx import PocketsphinxPronunciation
from metrics.pronunciation_wav2vec2 import Wav2Vec2Pronunciation
from metrics.pronunciation_wav2vec2_model import Wav2Vec2Phones

Patch = pytest.MonkeyPatch


def without_mask(patch: Patch) -> None:
    """The model is not told where a clip ends."""
    from transformers import Wav2Vec2ForCTC

    forward = Wav2Vec2ForCTC.forward
    patch.setattr(Wav2Vec2ForCTC, "forward", lambda self, padded, attention_mask=None: forward(self, padded))


def padded_group_norm(patch: Patch) -> None:
    """Clips of different lengths share a batch although the first layer normalises over time."""
    patch.setattr(Wav2Vec2Phones, "_groups", lambda self, clips: [list(range(len(clips)))])


def not_normalised(patch: Patch) -> None:
    patch.setattr(Wav2Vec2Phones, "_input", lambda self, clip: clip)


def wrong_blank(patch: Patch) -> None:
    """Index 0 is taken for the blank whatever the model says."""
    whole = PhoneClasses.__init__
    patch.setattr(PhoneClasses, "__init__", lambda self, vocabulary, blank: whole(self, vocabulary, 0))


def likeliest_symbol_only(patch: Patch) -> None:
    """A phone gets the probability of one of its symbols instead of their sum."""

    def largest(self: PhoneClasses, symbols: Tensor) -> Tensor:
        return torch.stack([symbols[..., columns].amax(dim=-1) for columns in self._symbols], dim=-1)

    patch.setattr(PhoneClasses, "log_probs", largest)


def accepted_and_wrong_swapped(patch: Patch) -> None:
    margin = NameScore.margin
    patch.setattr(NameScore, "margin", lambda self, part: -margin(self, part))


def span_one_frame_late(patch: Patch) -> None:
    spans = ctc._spans
    patch.setattr(ctc, "_spans", lambda path, phones: spans(path, phones) + torch.tensor([1, 0]))


def frames_of_20_ms(patch: Patch) -> None:
    patch.setattr(judge, "FRAME_S", 0.02)


def doubled_phone_skips_the_blank(patch: Patch) -> None:
    """The alignment may go from a phone to an equal one without a blank between them."""
    forward = ctc._forward

    def careless(emissions: Tensor, states: Tensor, blank: int, frames: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        distinct = torch.where(states == blank, blank, torch.arange(states.shape[1]) + blank + 1)
        return forward(emissions, distinct, blank, frames, last)

    patch.setattr(ctc, "_forward", careless)


def scores_scaled(patch: Patch) -> None:
    """The decoder's shift of its scores by ten bits is taken for nine."""
    patch.setattr(decoder, "_SCORE_SHIFT", 512)


def padding_leaked(patch: Patch) -> None:
    patch.setattr(ClipBatch, "clip", lambda self, index: self.audio[index])


def only_likely_states(patch: Patch) -> None:
    """The decoder normalises each frame by the best of the states that it happened to compute."""
    make = decoder._decoder
    patch.setattr(decoder, "_decoder", lambda **settings: make(**{**settings, "compallsen": False}))


MADE = (accepted_and_wrong_swapped, span_one_frame_late, frames_of_20_ms, wrong_blank)


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parity.small_model(tmp_path_factory.mktemp("wav2vec2") / request.param, request.param)


@pytest.mark.parametrize("mutate", MADE, ids=lambda mutation: mutation.__name__)
def test_on_sounds_made_by_hand(mutate: Callable[[Patch], None], monkeypatch: Patch) -> None:
    parity.check_made_sounds()
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        parity.check_made_sounds()


@pytest.mark.parametrize(
    ("mutate", "folder"),
    [(without_mask, "layer"), (padded_group_norm, "group"), (not_normalised, "layer")],
    indirect=["folder"],
)
def test_of_the_recogniser(mutate: Callable[[Patch], None], folder: Path, monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        parity.check_emissions(folder)


@pytest.mark.parametrize("mutate", [wrong_blank, likeliest_symbol_only], ids=lambda mutation: mutation.__name__)
@pytest.mark.parametrize("folder", ["layer"], indirect=True)
def test_of_the_likelihoods(mutate: Callable[[Patch], None], folder: Path, monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        parity.check_likelihoods(folder)


@pytest.mark.parametrize("folder", ["layer"], indirect=True)
def test_padding_that_leaks_into_the_wav2vec2_judge(folder: Path, monkeypatch: Patch) -> None:
    padding_leaked(monkeypatch)
    with pytest.raises(AssertionError):
        parity.check_alone(Wav2Vec2Pronunciation(model=str(folder)))


def test_an_alignment_that_skips_blanks(monkeypatch: Patch) -> None:
    parity.check_alignment()
    doubled_phone_skips_the_blank(monkeypatch)
    with pytest.raises(AssertionError):
        parity.check_alignment()


@pytest.mark.parametrize(
    "mutate",
    [scores_scaled, accepted_and_wrong_swapped, only_likely_states],
    ids=lambda mutation: mutation.__name__,
)
def test_of_the_pocketsphinx_judge(mutate: Callable[[Patch], None], monkeypatch: Patch) -> None:
    metric = PocketsphinxPronunciation(workers=1)
    # The mutation has to reach the worker, so it works in this process.
    monkeypatch.setattr(metric.judge, "_pool", parity.InProcess())
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        parity.check_pocketsphinx(metric)


def test_padding_that_leaks_into_the_pocketsphinx_judge(monkeypatch: Patch) -> None:
    padding_leaked(monkeypatch)
    metric = PocketsphinxPronunciation(workers=1)
    with pytest.raises(AssertionError):
        parity.check_alone(metric, count=2)
    metric.close()

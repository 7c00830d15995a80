"""Checks of the pronunciation judges that raise AssertionError: against other packages, and on sounds made by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo, Entity
from metrics.phones import IPA, IPA_PAIRS
from metrics.pocketsphinx_decoder import to_pcm
from metrics.pocketsphinx_judge import Answer, Task, Worker
from metrics.pronunciation_calibration import Calibration
from metrics.pronunciation_ctc import align
from metrics.pronunciation_judge import Judgement, Part, VariantJudge
from metrics.pronunciation_metric import COLUMNS, PronunciationMetric
from metrics.pronunciation_pocketsphinx import PocketsphinxPronunciation
from metrics.pronunciation_wav2vec2 import Wav2Vec2Pronunciation
from metrics.pronunciation_wav2vec2_judge import Wav2Vec2Judge
from metrics.pronunciation_wav2vec2_model import Emissions, Wav2Vec2Phones

READINGS = Path(__file__).resolve().parents[2] / "evalkit" / "suites" / "indian_names" / "calibration"
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # the blank is not index 0, so that a judge has to look it up
WORDS = {"we": ("W IY",), "met": ("M EH T",), "there": ("DH EH R",)}
IDLI = Entity("Idli", ("IH1 D L IY0",), ("AY0 D L IY0", "EY0 D L IY0"))


def vocabulary() -> dict[str, int]:
    symbols = [symbol for table in (IPA, IPA_PAIRS) for written in table.values() for symbol in written]
    return {symbol: index for index, symbol in enumerate(dict.fromkeys((*SPECIAL, *symbols)))}


def small_model(folder: Path, norm: str, seed: int = 0) -> Path:
    """A Wav2Vec2ForCTC with random weights in Hugging Face's format. norm: "layer" or "group"."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    symbols = vocabulary()
    config = Wav2Vec2Config(
        vocab_size=len(symbols),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        conv_dim=(16,) * 7,
        conv_bias=norm == "layer",
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        pad_token_id=symbols["<pad>"],
    )
    torch.manual_seed(seed)
    model = Wav2Vec2ForCTC(config)
    with torch.no_grad():
        model.lm_head.weight *= 20  # else every symbol is as likely as any other
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(symbols))
    settings = {"do_normalize": True, "sampling_rate": 16000, "return_attention_mask": norm == "layer"}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def readings(count: int) -> tuple[list[Tensor], list[ClipInfo]]:
    """The first rendered readings, of different lengths."""
    lines = (READINGS / "index.jsonl").read_text(encoding="utf-8").splitlines()
    clips: list[Tensor] = []
    infos: list[ClipInfo] = []
    for line in map(json.loads, lines[:count]):
        samples, _ = soundfile.read(READINGS / line["file"], dtype="float32")
        clips.append(torch.from_numpy(samples))
        entity = Entity(line["spelling"], tuple(line["accepted"]), tuple(line["wrong"]))
        infos.append(ClipInfo(line["file"], text=line["text"], entities=(entity,)))
    return clips, infos


def one_by_one(folder: Path, clips: Sequence[Tensor]) -> list[Tensor]:
    """Log probabilities [frames, symbols] by transformers' own feature extractor and forward pass, each clip alone."""
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    extract = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    model = Wav2Vec2ForCTC.from_pretrained(folder).eval()
    found: list[Tensor] = []
    with torch.inference_mode():
        for clip in clips:
            inputs = extract(clip.numpy(), sampling_rate=16000, return_tensors="pt")
            found.append(model(inputs.input_values).logits[0].log_softmax(dim=-1))
    return found


def check_emissions(folder: Path) -> None:
    """In a batch as one by one, and as many frames as transformers gives."""
    clips, _ = readings(3)
    clips.append(0.5 * torch.randn(7000, generator=torch.Generator().manual_seed(0)))
    phones = Wav2Vec2Phones(folder, "cpu")
    emissions = phones.emissions(clips)
    for row, expected in enumerate(one_by_one(folder, clips)):
        assert int(emissions.lengths[row]) == len(expected) == phones.frames(len(clips[row]))
        assert torch.allclose(emissions.log_probs[row, : len(expected)], expected, atol=1e-4)


def check_likelihoods(folder: Path) -> None:
    """Every reading's likelihood is torch's ctc_loss of its symbols, one reading of one clip at a time."""
    clips, infos = readings(4)
    sentences = [_sentence(info.entities[0]) for info in infos]
    judge = Wav2Vec2Judge(Wav2Vec2Phones(folder, "cpu"), WORDS)
    answers = judge.score_variants(clips, sentences)
    for clip, info, answer, log_probs in zip(clips, infos, answers, one_by_one(folder, clips), strict=True):
        assert isinstance(answer, Judgement) and answer.names
        entity = info.entities[0]
        for reading in entity.accepted + entity.wrong:
            expected = _ctc(log_probs, reading)
            assert answer.names[0].log_likelihoods[reading] == pytest.approx(expected, rel=1e-4, abs=1e-3), len(clip)


def _sentence(entity: Entity) -> tuple[Part, ...]:
    return (Part("we"), Part("met"), Part(entity.spelling.lower(), entity.accepted, entity.wrong), Part("there"))


def _ctc(log_probs: Tensor, reading: str) -> float:
    """Of "we met NAME there": the likelihoods of both spellings added, each phone summed over its symbols."""
    spelled = [[("W",), ("IY",), ("M",), ("EH",), ("T",)], [("DH",), ("EH", "R")]]
    phones = reading.translate({ord(digit): None for digit in "012"}).split()
    values = []
    for name in {tuple(_pairs(phones)), tuple((phone,) for phone in phones)}:
        groups = [*spelled[0], *name, *spelled[1]]
        distinct = list(dict.fromkeys(groups))
        columns = [log_probs[:, vocabulary()["<pad>"]], *(_class(log_probs, group) for group in distinct)]
        target = torch.tensor([[1 + distinct.index(group) for group in groups]])
        loss = torch.nn.functional.ctc_loss(
            torch.stack(columns, dim=1)[:, None], target, [len(log_probs)], [len(groups)], blank=0, reduction="sum"
        )
        values.append(-loss)
    return float(torch.stack(values).logsumexp(0))


def _pairs(phones: Sequence[str]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    rest = list(phones)
    while rest:
        size = 2 if tuple(rest[:2]) in IPA_PAIRS else 1
        found.append(tuple(rest[:size]))
        rest = rest[size:]
    return found


def _class(log_probs: Tensor, group: tuple[str, ...]) -> Tensor:
    written = IPA[group[0]] if len(group) == 1 else IPA_PAIRS[group]
    return log_probs[:, [vocabulary()[symbol] for symbol in written]].logsumexp(dim=1)


class MadePhones:
    """Stands in for a recogniser: its frames are made by hand. Every clip hears the same."""

    samples_per_frame = 320

    def __init__(self, log_probs: Tensor) -> None:
        self.vocabulary = vocabulary()
        self.blank = self.vocabulary["<pad>"]
        self._log_probs = log_probs

    def frames(self, samples: int) -> int:
        return len(self._log_probs)

    def emissions(self, clips: Sequence[Tensor]) -> Emissions:
        return Emissions(torch.stack([self._log_probs] * len(clips)), torch.tensor([len(self._log_probs)] * len(clips)))


def heard(symbols: str, likely: float = 0.9) -> Tensor:
    """Log probabilities of a clip in which each frame hears one symbol ("_" is the blank) with this probability."""
    index = vocabulary() | {"_": vocabulary()["<pad>"]}
    frames = [index[symbol] for symbol in symbols.split()]
    log_probs = torch.full((len(frames), len(vocabulary())), math.log((1 - likely) / (len(vocabulary()) - 1)))
    log_probs[torch.arange(len(frames)), frames] = math.log(likely)
    return log_probs


class MadeJudge(PronunciationMetric):
    """The metric, with a judge that was made by hand and no calibration."""

    spec = Wav2Vec2Pronunciation.spec

    def __init__(self, log_probs: Tensor, words: Mapping[str, Sequence[str]] = WORDS) -> None:
        super().__init__("suite")
        self._judge = Wav2Vec2Judge(MadePhones(log_probs), words)  # type: ignore[arg-type]

    @property
    def judge(self) -> VariantJudge:
        return self._judge

    @property
    def calibration(self) -> Calibration:
        return Calibration.missing("")


def check_made_sounds() -> None:
    """A name of seven frames of 20 ms, said right and said wrong: decision, margin, place, fit and goodness."""
    # "we met idli there", the name from the first ɪ to the last iː
    right = heard("w w iː _ m ɛ ɛ t _ _ ɪ ɪ _ d l iː iː _ ð ð ɛ ɹ _")
    wrong = heard("w w iː _ m ɛ ɛ t _ _ aɪ aɪ _ d l iː iː _ ð ð ɛ ɹ _")
    for log_probs, said, best in ((right, True, "IH1 D L IY0"), (wrong, False, "AY0 D L IY0")):
        info = ClipInfo("made", text="We met Idli there.", entities=(IDLI,))
        scores = MadeJudge(log_probs).score(ClipBatch.of([torch.ones(16000)], 16000, [info]))
        (decision,) = scores.details[0]["entities"]
        assert (decision["right"], decision["best"]) == (said, best)
        likelihoods = {reading: _ctc(log_probs, reading) for reading in IDLI.accepted + IDLI.wrong}
        advantage = likelihoods[IDLI.accepted[0]] - max(likelihoods[reading] for reading in IDLI.wrong)
        assert decision["margin"] == pytest.approx(advantage / 14, abs=1e-4), "seven frames are fourteen of 10 ms"
        assert abs(advantage) > 10 and (advantage > 0) == said
        # A frame that hears a phone's symbol gives the phone that probability and those of its other symbols.
        assert decision["fit"] == pytest.approx(7 * math.log(0.9) / 14, abs=0.01)
        assert decision["heard"] == ("ɪdliː" if said else "aɪdliː")
        assert (decision["distance"] == 0) == said
        assert (decision["gop"] == pytest.approx(0, abs=1e-3)) if said else decision["gop"] < -0.3
        assert scores["pronunciation_accuracy"] == [float(said)]
    assert {column.name for column in COLUMNS} == set(scores)


def check_alignment() -> None:
    """The Viterbi path of several sequences at once is torchaudio's, one at a time; too short clips have none."""
    from torchaudio.functional import forced_align, merge_tokens

    generator = torch.Generator().manual_seed(3)
    log_probs = (3 * torch.randn(3, 40, 7, generator=generator)).log_softmax(dim=-1)
    lengths = torch.tensor([40, 31, 9])
    clips = [0, 1, 0, 2, 2]
    targets = [[1, 2, 3, 4], [5, 5, 6, 6, 1], [1] * 12, [2, 3, 3, 2], [1, 1, 1, 1, 1, 1]]
    found = align(log_probs, lengths, clips, targets, 0)
    assert found[-1] is None, "six equal phones need eleven frames"
    for clip, target, alignment in zip(clips[:-1], targets, found, strict=False):
        assert alignment is not None
        frames = log_probs[clip, : int(lengths[clip])][None]
        path, scores = forced_align(frames, torch.tensor([target]), blank=0)
        assert torch.allclose(alignment.scores, scores[0], atol=1e-5)
        spans = merge_tokens(path[0], scores[0])
        assert alignment.spans.tolist() == [[span.start, span.end] for span in spans]


class InProcess:
    """A pool of workers that is none."""

    def __init__(self) -> None:
        self._worker = Worker()

    def run(self, tasks: Sequence[Task]) -> list[Answer]:
        return [self._worker.answer(task) for task in tasks]


def check_alone(metric: PronunciationMetric, count: int = 3) -> None:
    """A clip alone as in a batch with more padding, for either judge."""
    clips, infos = readings(count)
    batch = ClipBatch.of(clips, 16000, infos)
    padded = ClipBatch(torch.nn.functional.pad(batch.audio, (0, 9000), value=0.3), batch.lengths, 16000, infos)
    together = metric.score(padded)
    for index, (clip, info) in enumerate(zip(clips, infos, strict=True)):
        alone = metric.score(ClipBatch.of([clip], 16000, [info]))
        for column in alone:
            assert alone[column][0] == pytest.approx(together[column][index], abs=1e-4, nan_ok=True), column


def check_pocketsphinx(metric: PocketsphinxPronunciation) -> None:
    """The margin is what two alignments by pocketsphinx itself differ by, one clip and one reading at a time."""
    from pocketsphinx import Decoder

    from metrics.packages import package_file

    clips, infos = readings(3)
    scores = metric.score(ClipBatch.of(clips, 16000, infos))
    dictionary = package_file("pocketsphinx", "model/en-us/cmudict-en-us.dict")
    for index, (clip, info) in enumerate(zip(clips, infos, strict=True)):
        entity = info.entities[0]
        found: dict[str, tuple[float, int]] = {}
        for reading in entity.accepted + entity.wrong:
            decoder = Decoder(
                lm=None, dict=str(dictionary), compallsen=True, bestpath=False, beam=1e-300, pbeam=1e-300,
                wbeam=1e-300, loglevel="FATAL",
            )  # fmt: skip
            decoder.add_word("zzname", "".join(sign for sign in reading if not sign.isdigit()), True)
            decoder.add_jsgf_string("s", "#JSGF V1.0; grammar s; public <s> = we met zzname there;")
            decoder.activate_search("s")
            decoder.start_utt()
            decoder.process_raw(to_pcm(clip.numpy()), full_utt=True)
            decoder.end_utt()
            stretch = next(part for part in decoder.seg() if part.word == "zzname")
            found[reading] = math.log(decoder.hyp().score) * 1024, stretch.end_frame - stretch.start_frame + 1
        best = max(found, key=lambda reading: found[reading][0])
        advantage = max(found[r][0] for r in entity.accepted) - max(found[r][0] for r in entity.wrong)
        assert scores.details[index]["entities"][0]["best"] == best
        margin = scores["pronunciation_margin"][index]
        assert margin == pytest.approx(advantage / found[best][1], abs=1e-6), (margin, found)

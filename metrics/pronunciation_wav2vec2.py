"""Pronunciation by a wav2vec2 phoneme recogniser: how likely its frames are under each reading of a name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from metrics.base import MetricSpec, Passport
from metrics.clips import SILENCE_DBFS
from metrics.options import Option
from metrics.packages import missing_packages, package_file, sha256, versions
from metrics.pocketsphinx_decoder import DICTIONARY
from metrics.pronunciation_calibrate import read_clips, score_clips
from metrics.pronunciation_calibration import Calibration
from metrics.pronunciation_fitting import calibrate
from metrics.pronunciation_metric import COLUMNS, VARIANTS, PronunciationMetric
from metrics.pronunciation_variants import ENGLISH_READINGS
from metrics.pronunciation_wav2vec2_judge import Wav2Vec2Judge
from metrics.pronunciation_wav2vec2_model import SAMPLE_RATE, Wav2Vec2Phones
from metrics.pronunciation_words import EXTRA_WORDS, dictionary
from metrics.weights import JudgeWeights, find, require

KIND = "wav2vec2"
MODEL = "lv-60-espeak"
HOW_TO_CALIBRATE = "run evalkit calibrate pronunciation.wav2vec2"


class Wav2Vec2Pronunciation(PronunciationMetric):
    """`PronunciationMetric` with a wav2vec2 phoneme CTC model as its judge.

    Its thresholds and its accuracy are measured on this machine once (`calibrate`) and kept beside the weights;
    until then the likelier kind of reading wins and the passport says that nothing was measured.
    """

    spec = MetricSpec(
        name="pronunciation",
        version="1",
        columns=COLUMNS,
        sample_rate=SAMPLE_RATE,
        needs=frozenset({"text", "entities"}),
        judge="standard",
        source="CTC likelihood of each reading under wav2vec2-lv-60-espeak-cv-ft (Xu et al. 2021, Simple and effective "
        "zero-shot cross-lingual phoneme recognition), loaded by transformers",
        options={
            "model": Option(MODEL, "a wav2vec2 model that was fetched, or a folder in Hugging Face's format"),
            "variants": VARIANTS,
        },
    )

    def __init__(self, device: str = "cpu", model: str = MODEL, variants: str = "suite") -> None:
        super().__init__(variants)
        self._device = device
        self._model = model

    @cached_property
    def _weights(self) -> JudgeWeights:
        return require(KIND, self._model)

    @cached_property
    def judge(self) -> Wav2Vec2Judge:
        return Wav2Vec2Judge(Wav2Vec2Phones(self._weights.path, self._device), dictionary())

    @cached_property
    def calibration(self) -> Calibration:
        file = calibration_file(self._weights)
        if not file.is_file() or _measured(file) != dict(self._weights.sha256):
            return Calibration.missing(HOW_TO_CALIBRATE)
        return Calibration.read(file, self._variants)

    def calibrate(self, folder: Path) -> Path:
        """Measure the judge on a folder of calibration clips (see `metrics.pronunciation_calibrate`) and keep the
        result beside the weights, whose digests it names. Returns the file; the next metric made reads it.

        Raises ValueError if the folder is damaged or too small, the weights are missing, or the file cannot be written.
        """
        clips = read_clips(folder)
        fitted = {
            variants: calibrate([row for row, _ in score_clips(self.judge, clips, variants)])
            for variants in VARIANTS.choices
        }
        result = {
            "judge": self._weights.name,
            "weights_sha256": dict(self._weights.sha256),
            "clips_sha256": sha256(folder / "index.jsonl"),
            "variants": fitted,
        }
        file = calibration_file(self._weights)
        partial = file.with_name(f"{file.name}.part")
        try:
            partial.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            partial.replace(file)
        except OSError as error:
            raise ValueError(f"The calibration cannot be written to {file}: {error.strerror}.") from error
        return file

    def passport(self) -> Passport:
        file = calibration_file(self._weights)
        calibrated = "accuracy" in self.calibration.accuracy
        data = {"cmudict": ("pocketsphinx", DICTIONARY), "extra_words": ("metrics", EXTRA_WORDS)}
        if self._variants == "generated":
            data["english_readings"] = ("metrics", ENGLISH_READINGS)
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge=f"{self._weights.name} phoneme CTC",
            weights_sha256=self._weights.sha256,
            parameters={
                **self.calibration.parameters(),
                "calibration_sha256": sha256(file) if calibrated else None,
                "model": self._weights.name,
                "variants": self._variants,
                **{f"{name}_sha256": sha256(package_file(*file)) for name, file in data.items()},
                "silence_dbfs": SILENCE_DBFS,
                "resampler": "soxr_hq by the caller",
            },
            packages=versions("panphon", "torch", "transformers"),
            accuracy=self.calibration.accuracy,
        )

    @classmethod
    def unavailable(cls, *, model: str = MODEL, **options: object) -> str | None:
        if missing := missing_packages(("transformers", "panphon"), "standard"):
            return missing
        if missing := missing_packages(("pocketsphinx",), "bundled"):  # its dictionary says how plain words sound
            return missing
        if find(KIND, model) is None:
            return f"needs the model {model}: run evalkit fetch {KIND}:{model}"
        return None


def calibration_file(weights: JudgeWeights) -> Path:
    """Beside the weights, not among them: their digests are those of every file of the folder."""
    return weights.path.with_name(f"{weights.path.name}.calibration.json")


def _measured(file: Path) -> Mapping[str, Any] | None:
    """The weights that a calibration file was measured with."""
    try:
        found: Mapping[str, Any] | None = json.loads(file.read_text(encoding="utf-8")).get("weights_sha256")
    except (AttributeError, ValueError) as error:
        raise ValueError(f"The calibration {file} is damaged ({error}): {HOW_TO_CALIBRATE}.") from error
    return found

"""Measuring a judge on clips whose readings are known."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import parity_pronunciation as parity
import pytest
import typer
from torch import Tensor
from typer.testing import CliRunner

from evalkit.cli.calibrate import calibrate as command
from evalkit.errors import EvalkitError
from evalkit.registry import Registry
from evalkit.suites.builtin import indian_names
from metrics.packages import package_file
from metrics.pronunciation_calibrate import read_clips, score_clips
from metrics.pronunciation_calibration import CALIBRATION_FILE, Calibration
from metrics.pronunciation_fitting import EVERY, Fit, Row, calibrate
from metrics.pronunciation_judge import Failure, Judgement, NameScore, Part
from metrics.pronunciation_wav2vec2 import Wav2Vec2Pronunciation

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "calibration"


class Oracle:
    """Knows what is spoken, save that it takes some wrong readings for right. Nothing fits backwards."""

    def __init__(self, mistakes: int = 0) -> None:
        clips = read_clips(parity.READINGS)
        self._spoken = {clip.samples().numpy().tobytes(): clip for clip in clips}
        self._mistaken = [clip for clip in clips if not clip.right][:mistakes]
        self.asked: list[Part] = []

    def score_variants(
        self, clips: Sequence[Tensor], sentences: Sequence[Sequence[Part]]
    ) -> Sequence[Judgement | Failure]:
        named = [part for sentence in sentences for part in sentence if part.wrong]
        self.asked += named
        return [Judgement((self._score(samples, part),)) for samples, part in zip(clips, named, strict=True)]

    def _score(self, samples: Tensor, part: Part) -> NameScore:
        likelihoods = dict.fromkeys(part.accepted + part.wrong, -100.0)
        clip = self._spoken.get(samples.numpy().tobytes())
        if clip is None:
            return NameScore(likelihoods, frames=10, fit=-30.0, context=-20.0)
        if clip.reading not in likelihoods:
            return NameScore(likelihoods, frames=10, fit=-12.0, context=-1.0)
        likelihoods[part.accepted[0] if clip in self._mistaken else clip.reading] = -10.0
        return NameScore(likelihoods, frames=10, fit=-2.0, context=-1.0)


def test_an_oracle_is_right_and_its_mistakes_are_counted() -> None:
    clips = read_clips(parity.READINGS)
    rows = [row for row, _ in score_clips(Oracle(), clips, "suite")]
    perfect = calibrate(rows)
    assert len(rows) == len(clips) == 92
    assert perfect["accuracy"]["accuracy"]["value"] == 1 and perfect["accuracy"]["accuracy"]["clips"] == 92
    assert perfect["accuracy"]["another_name_caught"]["value"] == 1
    assert perfect["accuracy"]["backwards_speech_caught"]["value"] == 1
    assert -9 < perfect["threshold"] < 9 and perfect["unreliable"] == []
    assert sum(row.other is not None for row in rows) == sum(row.backwards is not None for row in rows) == 19

    worse = calibrate([row for row, _ in score_clips(Oracle(mistakes=9), clips, "suite")])
    assert worse["accuracy"]["accuracy"]["value"] == pytest.approx(83 / 92, abs=1e-4)
    assert worse["accuracy"]["wrong_caught"]["value"] == pytest.approx(37 / 46, abs=1e-4)
    assert worse["accuracy"]["right_kept"]["value"] == 1


def test_generated_readings_are_asked_for() -> None:
    clips = read_clips(parity.READINGS)[:4]
    suite, generated = Oracle(), Oracle()
    list(score_clips(suite, clips, "suite"))
    list(score_clips(generated, clips, "generated"))
    assert len(suite.asked) == len(generated.asked) == 6
    for listed, more in zip(suite.asked, generated.asked, strict=True):
        assert set(listed.wrong) < set(more.wrong) and not set(more.wrong) & set(more.accepted)


def row(voice: str, right: bool, margin: float) -> Row:
    return Row("A", voice, right, margin, Fit(-1, -1), None, Fit(-9, -9))


def test_too_few_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="at least two voices"):
        calibrate([row("a", True, 1), row("a", False, -1)])
    with pytest.raises(ValueError, match="right and wrong readings of each"):
        calibrate([row("a", True, 1), row("a", False, -1), row("b", True, 1)])


@pytest.mark.parametrize(
    ("line", "message"),
    [(None, r"has no index\.jsonl"), ("{", "line 1 is damaged"), ('{"file": "a"}', "KeyError: 'spelling'")],
)
def test_a_damaged_folder_is_named(tmp_path: Path, line: str | None, message: str) -> None:
    if line is not None:
        (tmp_path / "index.jsonl").write_text(line)
    with pytest.raises(ValueError, match=message):
        read_clips(tmp_path)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge under its name, whatever the installed entry points say."""
    load = Registry.load
    here = {"pronunciation.wav2vec2": Wav2Vec2Pronunciation}
    monkeypatch.setattr(Registry, "load", lambda self, name: here.get(name) or load(self, name))


def test_the_command_keeps_the_calibration_beside_the_weights(registered: None, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    model = parity.small_model(tmp_path / "small", "layer")
    clips = tmp_path / "clips"
    clips.mkdir()
    lines = (parity.READINGS / "index.jsonl").read_text(encoding="utf-8").splitlines()[: 4 * EVERY]
    for line in lines:
        shutil.copy(parity.READINGS / json.loads(line)["file"], clips)
    (clips / "index.jsonl").write_text("\n".join(lines), encoding="utf-8")
    app = typer.Typer()
    app.command()(command)
    arguments = ["pronunciation.wav2vec2", "--set", f"pronunciation.wav2vec2.model={model}", "--clips", str(clips)]
    result = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "variants=suite: right on" in result.output and "variants=generated: right on" in result.output

    metric = Wav2Vec2Pronunciation(model=str(model))
    kept = json.loads((tmp_path / "small.calibration.json").read_text(encoding="utf-8"))
    passport = metric.passport()
    assert kept["weights_sha256"] == dict(passport.weights_sha256)
    assert passport.accuracy["accuracy"] == kept["variants"]["suite"]["accuracy"]["accuracy"]
    assert passport.parameters["threshold"] == kept["variants"]["suite"]["threshold"]
    assert len(passport.parameters["calibration_sha256"]) == 64
    printed = CliRunner().invoke(app, [*arguments, "--device", "cpu", "--json"])
    assert json.loads(printed.output)["variants"] == kept["variants"]


def test_the_command_refuses_in_one_sentence(registered: None, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    for arguments, message in (
        (["energy"], "has nothing to calibrate"),
        (["pronunciation.wav2vec2", "--set", "model=none/such"], "needs the model none/such"),
        (["pronunciation.wav2vec2", "--set", "modle=x"], "did you mean 'model'"),
    ):
        error = CliRunner().invoke(app, arguments).exception
        assert isinstance(error, EvalkitError) and message in str(error)


def test_the_bundled_calibration_is_that_of_its_tables_and_of_the_lexicon() -> None:
    """Whoever changes a reading, or the tables, makes the calibration again."""
    kept = json.loads(package_file("metrics", CALIBRATION_FILE).read_text(encoding="utf-8"))
    lexicon = (indian_names / "lexicon.jsonl").read_text(encoding="utf-8").splitlines()
    names = {entry["spelling"]: entry for entry in map(json.loads, lexicon)}
    for variants, name in (("suite", "scores.csv"), ("generated", "scores-generated.csv")):
        with (FIXTURES / name).open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        for line in lines:
            assert line["reading"] in names[line["spelling"]]["accepted" if line["right"] == "1" else "wrong"], line
        accuracy = Calibration.read(package_file("metrics", CALIBRATION_FILE), variants).accuracy
        assert kept["variants"][variants]["accuracy"] == accuracy
        assert accuracy["with_names_not_judged"]["accuracy"]["clips"] == len(lines)
        assert 0.8 < accuracy["accuracy"]["value"] <= 1

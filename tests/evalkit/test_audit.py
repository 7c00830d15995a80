"""The audit of metrics whose flaws are known: each verdict passes where it should and fails where it should."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import typer
from torch import Tensor
from typer.testing import CliRunner

from evalkit.cli.audit import audit as command
from evalkit.diagnostics.audit import audit_metric, metric_maker, write_audit
from evalkit.diagnostics.audit_clips import find_clips, read_clip
from evalkit.diagnostics.audit_measure import score
from evalkit.diagnostics.audit_probes import SNRS_DB, lengths, levels, make_noise, noises
from evalkit.diagnostics.audit_ratings import correlations, read_ratings
from evalkit.errors import EvalkitError
from metrics import ClipBatch, ClipInfo, Column, Metric, MetricSpec, Passport, Scores

RATE = 16000


def clear_speech(seed: int, seconds: float = 1.5) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Harmonics in syllables."""
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = 110 + 30 * seed + 8 * np.sin(2 * np.pi * 1.3 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voiced = sum(np.sin(k * phase) / k for k in range(1, 25))
    return (0.1 * voiced * (0.05 + np.sin(2 * np.pi * 4 * time) ** 2)).astype(np.float32)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    folder = tmp_path / "speech"
    folder.mkdir()
    for seed in range(4):
        soundfile.write(folder / f"clip-{seed}.wav", clear_speech(seed, 0.8 + 0.1 * seed), RATE, subtype="FLOAT")
    return folder


def purity(clip: Tensor) -> float:
    """How far the mean spectrum is from flat, in dB: blind to level and length, lower with every bit of noise."""
    frames = clip.unfold(0, 512, 256) * torch.hann_window(512)
    power = torch.fft.rfft(frames).abs().square().mean(dim=0) + 1e-30
    return float(10 * (power.mean().log10() - power.log10().mean()))


class Fake:
    """A metric of one column, made of a function of the clip, its number in the batch, and the batch."""

    made = 0

    def __init__(
        self,
        value: Callable[[Tensor, int, ClipBatch], float],
        better: Any = "higher",
        needs: frozenset[Any] = frozenset(),
        bounds: tuple[float, float] = (-math.inf, math.inf),
    ) -> None:
        column = Column("fake_db", "dB", better, bounds, "made up")
        self.spec = MetricSpec("fake", "1", (column,), RATE, needs, "none", "this test")
        self.value, self.closed = value, False
        Fake.made += 1

    def score(self, batch: ClipBatch) -> Scores:
        scores = Scores(self.spec, len(batch))
        for index in range(len(batch)):
            scores["fake_db"][index] = self.value(batch.clip(index), index, batch)
            if math.isnan(scores["fake_db"][index]):
                scores.reasons[index]["fake_db"] = "it is too quiet"
        return scores

    def passport(self) -> Passport:
        return Passport("fake", "1", "none")

    def close(self) -> None:
        self.closed = True

    @classmethod
    def unavailable(cls) -> str | None:
        return None


def examine(make: Callable[[], Metric], folder: Path, **options: Any) -> dict[str, Any]:
    found = audit_metric(make, folder, **{"runs": 5, "limit": 3, **options})
    json.dumps(found, allow_nan=False)
    properties: dict[str, Any] = found["columns"]["fake_db"]["properties"]
    return {**properties, "overall": found["overall"]}


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {name: result["verdict"] for name, result in found.items() if name != "overall"}


def test_a_sound_metric_passes(speech: Path) -> None:
    found = examine(lambda: Fake(lambda clip, *_: purity(clip)), speech, runs=10)
    expected = dict.fromkeys(("repeatability", "length", "level", "noise"), "pass") | {"ratings": "not applicable"}
    assert verdicts(found) == expected
    assert found["overall"] == "fake passes what could be judged: length, level, noise, repeatability."
    assert found["repeatability"]["figures"]["runs"] == 10
    assert found["noise"]["figures"]["white"]["rank_correlation"] == pytest.approx(1)


def test_a_sound_metric_of_which_less_is_better_passes(speech: Path) -> None:
    found = examine(lambda: Fake(lambda clip, *_: -purity(clip), better="lower"), speech)
    assert verdicts(found)["noise"] == "pass"


FLAWS: dict[str, tuple[str, str, Callable[[Tensor, int, ClipBatch], float]]] = {
    "long": ("length", "Favours long clips", lambda clip, *_: purity(clip) + 2 * len(clip) / RATE),
    "short": ("length", "Favours short clips", lambda clip, *_: purity(clip) - 2 * len(clip) / RATE),
    "level": ("level", "Moves with level", lambda clip, *_: purity(clip) + 0.3 * level_db(clip)),
    "inverted": ("noise", "Does not follow noise", lambda clip, *_: -purity(clip)),
    "deaf": ("noise", "Does not follow noise", lambda *_: 3.0),
    "coarse": ("noise", "Does not follow noise", lambda clip, *_: float(purity(clip) > 10)),
    "position": ("repeatability", "(other order)", lambda clip, index, _: purity(clip) + 0.01 * index),
    "padding": ("repeatability", "(one by one)", lambda clip, _, batch: purity(clip) + 1e-5 * batch.audio.shape[1]),
}


def level_db(clip: Tensor) -> float:
    return float(10 * clip.square().mean().log10())


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_fails_its_verdict(flaw: str, speech: Path) -> None:
    failing, says, value = FLAWS[flaw]
    found = examine(lambda: Fake(value), speech)
    assert found[failing]["verdict"] == "fail"
    assert says in found[failing]["says"]
    assert found["overall"].startswith("fake is ") and "fake_db" in found["overall"]


def test_the_length_slope_is_the_one_that_was_put_in(speech: Path) -> None:
    def value(clip: Tensor, *_: Any) -> float:
        return 2 * len(clip) / RATE + 3 * float(clip[:100].abs().mean())

    figures = examine(lambda: Fake(value), speech)["length"]["figures"]
    low, high = figures["slope_ci95"]
    assert figures["slope_per_s"] == pytest.approx(2.0, abs=0.1)
    assert low < 2.0 < high and high - low < 0.3
    assert figures["rank_correlation"] > 0.95


def test_the_level_slope_is_the_one_that_was_put_in(speech: Path) -> None:
    figures = examine(lambda: Fake(FLAWS["level"][2]), speech)["level"]["figures"]
    assert figures["slope_per_db"] == pytest.approx(0.3, abs=0.01)
    assert figures["moves_by"] == pytest.approx(0.3 * 36, abs=0.1)


def test_chance_is_found(speech: Path) -> None:
    random = np.random.default_rng(1)
    found = examine(lambda: Fake(lambda *_: float(random.normal())), speech)
    assert verdicts(found)["repeatability"] == "fail" and verdicts(found)["noise"] == "fail"
    assert set(found["repeatability"]["figures"]["by_kind"]) == {
        "same call again",
        "fresh instance",
        "other order",
        "one by one",
    }


def test_an_instance_that_differs_is_found(speech: Path) -> None:
    def make() -> Fake:
        offset = 0.001 * Fake.made
        return Fake(lambda clip, *_: purity(clip) + offset)

    found = examine(make, speech)["repeatability"]
    assert found["verdict"] == "fail" and "(fresh instance)" in found["says"]
    by_kind = found["figures"]["by_kind"]
    assert by_kind["fresh instance"] > 0 == by_kind["same call again"] == by_kind["one by one"]


def test_every_instance_is_closed(speech: Path) -> None:
    made: list[Fake] = []

    def make() -> Fake:
        made.append(Fake(lambda clip, *_: purity(clip)))
        return made[-1]

    examine(make, speech, runs=4)
    assert len(made) == 3 and all(fake.closed for fake in made)  # for the probes, the runs, and one fresh


def test_values_that_are_missing_are_said_to_be(speech: Path) -> None:
    def value(clip: Tensor, *_: Any) -> float:
        return math.nan if level_db(clip) < -50 else purity(clip)

    found = examine(lambda: Fake(value), speech)
    assert found["level"]["verdict"] == "not applicable" and "it is too quiet" in found["level"]["says"]
    assert found["noise"]["verdict"] == "pass"


def test_a_column_without_a_direction_is_measured_and_not_judged(speech: Path) -> None:
    found = examine(lambda: Fake(lambda clip, *_: level_db(clip), better="neither"), speech)
    assert verdicts(found) == {"repeatability": "pass"} | dict.fromkeys(
        ("length", "level", "noise", "ratings"), "not applicable"
    )
    curve = found["level"]["figures"]["y"][0]
    assert np.diff(curve) == pytest.approx([6.0] * 6, abs=1e-3)


def test_clips_at_the_end_of_the_range_are_counted(speech: Path) -> None:
    found = examine(lambda: Fake(lambda clip, *_: min(5.0, purity(clip)), bounds=(-20.0, 5.0)), speech)
    assert found["noise"]["figures"]["clean_at_end_of_range"] == 1
    assert "100% of the clips without noise are at the end" in found["noise"]["says"]


def test_one_clip_gives_no_interval(speech: Path) -> None:
    found = examine(lambda: Fake(lambda clip, *_: purity(clip)), speech, limit=1)
    assert found["length"]["verdict"] == "undecided" and found["length"]["figures"]["slope_ci95"] is None


def test_the_same_seed_gives_the_same_audit(speech: Path) -> None:
    one, two, other = (examine(lambda: Fake(lambda clip, *_: purity(clip)), speech, seed=seed) for seed in (3, 3, 4))
    assert one == two != other


# ---- probes ----


def test_probes_are_what_they_say() -> None:
    audio, info = torch.from_numpy(clear_speech(0)), ClipInfo("a")
    power = float(audio.double().square().mean())
    for colour in ("white", "pink"):
        variants = list(noises(audio, info, colour, seed=1))  # type: ignore[arg-type]
        assert [variant.x for variant in variants] == list(SNRS_DB)
        assert torch.equal(variants[0].audio, audio)
        for variant in variants[1:]:
            added = float((variant.audio - audio).double().square().mean())
            assert 10 * math.log10(power / added) == pytest.approx(variant.x, abs=0.01)
    assert [round(level_db(v.audio) - level_db(audio)) for v in levels(audio, info)] == [-30, -24, -18, -12, -6, 0, 6]


def test_pink_noise_loses_three_decibels_per_octave() -> None:
    spectrum = np.abs(np.fft.rfft(make_noise(1 << 16, "pink", 0).numpy())) ** 2
    octaves = [10 * np.log10(spectrum[low : 2 * low].mean()) for low in (256, 512, 1024, 2048, 4096, 8192)]
    assert np.diff(octaves) == pytest.approx([-3.01] * 5, abs=0.6)
    flat = np.abs(np.fft.rfft(make_noise(1 << 16, "white", 0).numpy())) ** 2
    assert flat[256:512].mean() / flat[8192:16384].mean() == pytest.approx(1, abs=0.2)


def test_repetition_repeats_the_speech_and_its_text_without_clicks() -> None:
    audio = torch.sin(torch.arange(RATE) * 2 * torch.pi * 100 / RATE) * 0.5
    cut_and_repeated = list(lengths(audio, RATE, ClipInfo("a")))
    seconds = [len(variant.audio) / RATE for variant in cut_and_repeated]
    assert seconds == pytest.approx([0.5, 0.5, 1, 1.98, 2.96, 3.94])
    assert torch.equal(torch.cat([cut_and_repeated[0].audio, cut_and_repeated[1].audio]), audio)
    steepest = float(audio.diff().abs().max())
    assert all(float(variant.audio.diff().abs().max()) < 1.5 * steepest for variant in cut_and_repeated)
    spoken = list(lengths(audio, RATE, ClipInfo("a", text="Hello you.")))
    assert [variant.info.text for variant in spoken][:2] == ["Hello you.", "Hello you. Hello you."]
    assert len(spoken) == 4


# ---- clips ----


def test_clips_are_brought_to_one_level_and_are_never_clipped(speech: Path) -> None:
    spec = Fake(lambda *_: 0.0).spec
    for clip in find_clips(speech, spec, 4):
        audio, rate = read_clip(clip)
        assert rate == RATE and level_db(audio) == pytest.approx(-26, abs=0.01)
    click = np.zeros(RATE, dtype=np.float32)
    click[::4000] = 0.9
    soundfile.write(speech / "click.wav", click, RATE)
    audio, _ = read_clip(find_clips(speech, spec, 9)[0])
    assert float(audio.abs().max()) == pytest.approx(10 ** (-6 / 20), abs=1e-3)


def test_clips_are_spread_over_the_folder_and_know_each_other(speech: Path) -> None:
    spec = Fake(lambda *_: 0.0, needs=frozenset({"reference"})).spec
    found = find_clips(speech, spec, 2)
    assert [clip.info.id for clip in found] == ["clip-0", "clip-3"]
    assert [path.stem for path in found[0].info.reference] == ["clip-1", "clip-2", "clip-3"]
    assert found[0].info.text is None


def test_texts_and_entities_come_with_the_clips(speech: Path) -> None:
    text_spec = Fake(lambda *_: 0.0, needs=frozenset({"text"})).spec
    (speech / "clip-2.txt").write_text("Good morning.\n")
    assert [(clip.info.id, clip.info.text) for clip in find_clips(speech, text_spec, 4)] == [
        ("clip-2", "Good morning.")
    ]
    rows = [
        {"file": "clip-0.wav", "text": "Call Mohan.", "spelling": "Mohan", "accepted": ["M OW1"], "right": True},
        {"file": "clip-1.wav", "text": "Call Mohan.", "spelling": "Mohan", "accepted": ["M OW1"], "right": False},
    ]
    (speech / "index.jsonl").write_text("\n".join(map(json.dumps, rows)))
    entity_spec = Fake(lambda *_: 0.0, needs=frozenset({"text", "entities"})).spec
    (found,) = find_clips(speech, entity_spec, 4)
    assert found.info.id == "clip-0" and found.info.entities[0].spelling == "Mohan"


def test_texts_are_read_only_by_who_needs_them_and_are_utf8(speech: Path) -> None:
    (speech / "clip-1.txt").write_bytes("Café.".encode("latin-1"))
    assert len(find_clips(speech, Fake(lambda *_: 0.0).spec, 4)) == 4
    with pytest.raises(EvalkitError, match=r"clip-1\.txt is not UTF-8 at byte 3"):
        find_clips(speech, Fake(lambda *_: 0.0, needs=frozenset({"text"})).spec, 4)


def test_the_clips_of_the_checkout_serve_by_default() -> None:
    assert len(find_clips(None, Fake(lambda *_: 0.0).spec, 4)) == 4
    with_names = find_clips(None, Fake(lambda *_: 0.0, needs=frozenset({"text", "entities"})).spec, 3)
    assert all(clip.info.text and clip.info.entities for clip in with_names)


@pytest.mark.parametrize(
    ("prepare", "needs", "message"),
    [
        (lambda folder: None, {"text"}, "holds no clips that 'fake' can be audited on"),
        (lambda folder: (folder / "index.jsonl").write_text("{"), set(), "is not one JSON object with 'file' per line"),
        (lambda folder: None, {"phonemes"}, "reads no audio"),
    ],
)
def test_what_cannot_be_audited_is_said(speech: Path, prepare: Any, needs: set[Any], message: str) -> None:
    prepare(speech)
    with pytest.raises(EvalkitError, match=message):
        find_clips(speech, Fake(lambda *_: 0.0, needs=frozenset(needs)).spec, 4)
    with pytest.raises(EvalkitError, match="There is no folder"):
        find_clips(speech / "nowhere", Fake(lambda *_: 0.0).spec, 4)


def test_outside_a_checkout_clips_must_be_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("evalkit.diagnostics.audit_clips._FIXTURES", tmp_path)
    with pytest.raises(EvalkitError, match="give speech with --clips"):
        find_clips(None, Fake(lambda *_: 0.0).spec, 4)


def unused(*_: Any) -> float:
    """A value that nobody should ask for."""
    raise AssertionError("a clip is scored before everything was looked at")


def test_a_silent_clip_is_refused_by_name(speech: Path) -> None:
    soundfile.write(speech / "silent.wav", np.zeros(RATE), RATE)
    with pytest.raises(EvalkitError, match=r"silent\.wav cannot be used for an audit: The audio is silent"):
        examine(lambda: Fake(unused), speech, limit=9)


# ---- ratings ----


@pytest.fixture
def rated(tmp_path: Path) -> Callable[..., Path]:
    """24 clips of 6 systems with more or less noise; the rating falls with the noise, by listeners who disagree."""

    def make(sign: float = 1.0, spread: float = 0.1, systems: bool = True) -> Path:
        random = np.random.default_rng(7)
        lines = ["audio,rating" + (",system" if systems else "")]
        for index in range(24):
            system = index % 6
            noisy = clear_speech(index % 3) + 0.01 * 2**system * random.standard_normal(24000).astype(np.float32)
            soundfile.write(tmp_path / f"{index}.wav", noisy, RATE, subtype="FLOAT")
            for _ in range(2):
                rating = 3 + sign * (2.5 - system) / 2 + spread * random.normal()
                lines.append(f"{index}.wav,{rating:.3f}" + (f",s{system}" if systems else ""))
        (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n")
        return tmp_path / "ratings.csv"

    return make


def agreement_of(speech: Path, ratings: Path, sign: float = 1.0, better: str = "higher") -> dict[str, Any]:
    found: dict[str, Any] = examine(
        lambda: Fake(lambda clip, *_: sign * purity(clip), better=better), speech, ratings=ratings, runs=2
    )["ratings"]
    return found


def test_agreement_with_ratings(speech: Path, rated: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.diagnostics.audit_ratings.RESAMPLES", 200)
    found = agreement_of(speech, rated(), sign=-1, better="lower")
    assert found["verdict"] == "pass" and "6 systems" in found["says"]
    figures = found["figures"]
    assert (figures["utterance"]["n"], figures["system"]["n"]) == (24, 6)
    assert figures["system"]["spearman"]["r"] == pytest.approx(-1)
    low, high = figures["utterance"]["pearson"]["ci95"]
    assert -1 <= low <= figures["utterance"]["pearson"]["r"] <= high < -0.5

    assert agreement_of(speech, rated(sign=-1.0))["verdict"] == "fail"
    undecided = agreement_of(speech, rated(spread=2.5, systems=False))
    assert undecided["verdict"] == "undecided" and "24 utterances" in undecided["says"]


def test_a_rated_clip_that_cannot_be_scored_is_left_out_and_said(speech: Path, rated: Callable[..., Path]) -> None:
    ratings = rated()
    soundfile.write(ratings.parent / "3.wav", np.zeros(RATE), RATE)
    cut = (ratings.parent / "5.wav").read_bytes()[:2000]  # its header promises more than there is
    (ratings.parent / "5.wav").write_bytes(cut)
    marked = np.full(RATE, 0.5, dtype=np.float32)
    soundfile.write(ratings.parent / "7.wav", marked, RATE, subtype="FLOAT")

    def value(clip: Tensor, *_: Any) -> float:
        if bool((clip == 0.5).all()):
            raise ValueError("a bug")
        return purity(clip)

    found = examine(lambda: Fake(value), speech, ratings=ratings, runs=2)["ratings"]
    assert found["figures"]["left_out"] == 3 and found["figures"]["utterance"]["n"] == 21
    assert found["figures"]["why_left_out"] == "3.wav: The audio is silent (no sample above -60 dBFS)"
    assert "Left out: 3, the first 3.wav: The audio is silent" in found["says"]


def test_correlations_are_scipys() -> None:
    from scipy.stats import kendalltau, pearsonr, spearmanr

    random = np.random.default_rng(0)
    x = random.integers(1, 6, 30).tolist()  # with ties
    y = [value + random.normal() for value in x]
    found = correlations(x, y, seed=0)
    assert found is not None
    for name, function in {"pearson": pearsonr, "spearman": spearmanr, "kendall": kendalltau}.items():
        assert found[name]["r"] == pytest.approx(function(x, y).statistic)
        assert found[name]["ci95"][0] < found[name]["r"] < found[name]["ci95"][1]
    assert correlations(x[:4], y[:4], seed=0) is None
    assert correlations([3.0] * 30, y, seed=0) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,rating\n", "has no column 'audio'"),
        ("audio,rating\nclip-0.wav,good\n", "line 2: 'rating' is not a number"),
        ("audio,rating\nnone.wav,3\n", r"line 2: the file .*none\.wav does not exist"),
        ("audio,rating\nclip-0.wav,3\nclip-1.wav,4\n", "rates 2 clips: a correlation needs 5"),
        ("audio,rating\nclip-0.wav,3\nnoise.wav,4\n", r"line 3: .*noise\.wav cannot be read as audio"),
        ("audio,rating,reference\nclip-0.wav,3,noise.wav\n", r"line 2: .*noise\.wav cannot be read as audio"),
        ("audio,rating,reference\nclip-0.wav,3,nobody\n", "line 2: the reference nobody is neither"),
        ("audio,rating\nclip-0.wav,3\n" + 140_000 * "x", "is not CSV"),
        ("audio,rating,system\nclip-0.wav,3,Café\n", r"ratings\.csv is not UTF-8 at byte 43"),
    ],
)
def test_bad_ratings_are_one_sentence_before_anything_is_scored(speech: Path, content: str, message: str) -> None:
    ratings = speech.parent / "ratings.csv"
    ratings.write_bytes(content.replace("clip-", "speech/clip-").encode("latin-1"))
    (speech.parent / "noise.wav").write_bytes(b"no audio")
    with pytest.raises(EvalkitError, match=message):
        examine(lambda: Fake(unused), speech, ratings=ratings)
    with pytest.raises(EvalkitError, match="There is no file"):
        read_ratings(speech / "none.csv")


# ---- metrics of the registry, the command ----


def call(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_audits_a_real_metric(speech: Path, tmp_path: Path) -> None:
    result = call("wada_snr", "--clips", speech, "--runs", "3", "--limit", "2", "--device", "cpu", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "wada_snr_db" in result.stdout and str(tmp_path / "wada_snr.html") in result.stdout
    stored = json.loads((tmp_path / "wada_snr.json").read_text())
    assert stored["columns"]["wada_snr_db"]["properties"]["level"]["verdict"] == "pass"
    assert len(stored["clips"]) == 2 and len(stored["clips"][0]["sha256"]) == 64
    printed = call("wada_snr", "--clips", speech, "--runs", "3", "--limit", "2", "--out", tmp_path, "--json")
    answer = json.loads(printed.stdout)
    assert answer["columns"] == stored["columns"]


def test_a_metric_or_option_that_does_not_exist_is_one_sentence(speech: Path) -> None:
    for name, settings, message in (
        ("wada", [], "did you mean 'wada_snr'"),
        ("wada_snr", ["colour=red"], "has no option 'colour'"),
        ("wada_snr", ["energy.colour=red"], "is not computed"),
    ):
        with pytest.raises(EvalkitError, match=message):
            metric_maker(name, settings, "cpu")()


def test_files_of_an_audit_are_written_or_the_disk_is_blamed(speech: Path, tmp_path: Path) -> None:
    found = audit_metric(lambda: Fake(lambda clip, *_: purity(clip)), speech, runs=2)
    data, page = write_audit(found, tmp_path / "audits", "fake")
    assert json.loads(data.read_text()) == json.loads(json.dumps(found)) and page.suffix == ".html"
    (tmp_path / "file").write_text("")
    with pytest.raises(EvalkitError, match="a file stands where a folder is needed"):
        write_audit(found, tmp_path / "file", "fake")


def test_a_folder_that_cannot_be_written_is_found_before_anything_is_scored(speech: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "audits", Path("/proc/audits")):
        with pytest.raises(EvalkitError, match=f"{place}"):
            examine(lambda: Fake(unused), speech, out=place)
    with pytest.raises(EvalkitError, match="There is no folder"):
        examine(lambda: Fake(unused), speech / "nowhere", out=tmp_path / "audits")
    assert not (tmp_path / "audits").exists()


def test_rates_are_converted_for_the_metric() -> None:
    seen: list[tuple[int, int]] = []

    def value(clip: Tensor, index: int, batch: ClipBatch) -> float:
        seen.append((len(clip), batch.sample_rate))
        return 0.0

    def info(clips: Sequence[Tensor]) -> list[ClipInfo]:
        return [ClipInfo(str(index)) for index in range(len(clips))]

    clips = [torch.zeros(24000), torch.zeros(12000)]
    score(Fake(value), clips, 24000, info(clips), "cpu")
    assert seen == [(16000, 16000), (8000, 16000)]

"""What the README claims of the fixture voices, measured again on a sample with the real judges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import FIXTURES, VOICES, Call

COLUMNS = """dnsmos_ovrl dnsmos_sig dnsmos_bak dnsmos_p808 wada_snr_db speaker_similarity wer cer wer_corpus cer_corpus
entity_wer entity_wer_corpus pronunciation_accuracy pronunciation_margin frontend_accuracy energy_mean_db energy_std_db
duration_s rtf silence_ratio longest_pause_s f0_median_hz speaking_rate bandwidth_hz clipping_ratio"""
REFERENCE = FIXTURES / "audio" / "reference" / "sarah"


def run(evalkit: Call, voice: str, out: Path, *more: object) -> dict[str, Any]:
    result = evalkit(
        *("run", VOICES / f"{voice}.pth", "--suite", "indian-names", "--items", "fixture:seen", "--limit", 40),
        *("--metrics", "pronunciation,speaker_similarity", "--reference", REFERENCE, "--out", out, "--json", *more),
    )
    assert result.exit_code == 0, result.output
    summary: dict[str, Any] = json.loads(result.stdout)
    return summary


@pytest.mark.slow
def test_every_column_of_the_demo_has_a_row(evalkit: Call, tmp_path: Path) -> None:
    result = evalkit("run", VOICES / "merged.pth", "--suite", "smoke", "--limit", 6, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.startswith(" ") and line.split()}
    assert [name for name in COLUMNS.split() if name not in rows] == []
    absent = {line.split()[0] for line in result.stdout.splitlines() if "is absent: " in line}
    assert absent == {"pronunciation_gop", "pronunciation_distance"}, (
        "open-set evidence is an option, the rest is there"
    )
    assert "ABOUT THE JUDGES" in result.stdout
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["passports"]["pronunciation"]["accuracy"]["accuracy"]["value"] > 0.9
    assert "pronunciation" in (folder / "report.html").read_text()


@pytest.mark.slow
def test_merges_keep_sumits_pronunciation_and_sarahs_voice(evalkit: Call, tmp_path: Path) -> None:
    parents = {voice: run(evalkit, voice, tmp_path / voice)["run"] for voice in ("sarah", "sumit")}
    for merged in ("merged", "merged-by-section"):
        to_sarah = run(evalkit, merged, tmp_path / "m", "--baseline", tmp_path / "sarah" / parents["sarah"])
        right = to_sarah["baseline"]["columns"]["pronunciation_accuracy"]
        assert right["ci95"][0] > 0, f"{merged} says more names right than sarah"
        to_sumit = run(evalkit, merged, tmp_path / "m", "--baseline", tmp_path / "sumit" / parents["sumit"])
        similar = to_sumit["baseline"]["columns"]["speaker_similarity"]
        assert similar["ci95"][0] > 0, f"{merged} sounds more like sarah than sumit does"

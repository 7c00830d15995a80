"""The Kokoro engine against the package that it speaks through, in the package's environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_environments import run_script

pytestmark = pytest.mark.engines
SCRIPTS = Path(__file__).parent / "package_kokoro"
EXACT = 1e-4


@pytest.fixture(scope="module")
def parity() -> dict[str, Any]:
    return run_script("kokoro", SCRIPTS / "parity.py")


@pytest.fixture(scope="module")
def loading() -> dict[str, Any]:
    return run_script("kokoro", SCRIPTS / "loading.py")


@pytest.fixture(scope="module")
def front() -> dict[str, Any]:
    return run_script("kokoro", SCRIPTS / "front.py")


def test_durations_are_the_packages(parity: dict[str, Any]) -> None:
    assert parity["voiced"]["durations"] == [True] * 6
    assert parity["file"]["durations"] == [True] * 6


def test_one_by_one_is_the_package(parity: dict[str, Any]) -> None:
    assert parity["voiced"]["rms"] > 0.01
    assert parity["voiced"]["single_package"] < EXACT


def test_a_file_that_the_package_reads_itself_sounds_the_same(parity: dict[str, Any]) -> None:
    assert parity["file"]["single_package"] < EXACT


@pytest.mark.parametrize("what", ["batch_alone", "backwards_alone", "one_group_alone"])
def test_a_padded_batch_changes_nothing(parity: dict[str, Any], what: str) -> None:
    assert parity["voiced"][what] < EXACT


def test_the_padded_decoder_is_the_package_from_the_same_pitch_on(parity: dict[str, Any]) -> None:
    assert parity["voiced"]["padded_decoder_package"] < EXACT


def test_the_padded_batchs_pitch_is_the_packages_without_its_rounding(parity: dict[str, Any]) -> None:
    assert parity["voiced"]["pitch_hz"] < 5e-3


def test_the_global_generator_is_left_alone(parity: dict[str, Any]) -> None:
    assert parity["voiced"]["global_rng_untouched"]


@pytest.mark.parametrize(
    ("case", "parts"),
    [
        ("missing", ["1 tensor missing (decoder.decode.1.conv1.weight)"]),
        ("extra", ["1 tensor unknown to Kokoro (decoder.spare.weight)"]),
        ("shape", ["decoder.decode.1.conv1.weight [1023, 1090, 3] instead of [1024, 1090, 3]"]),
        ("renamed", ["1 tensor missing", "1 tensor unknown to Kokoro (decoder.decode.1.conv9.weight)"]),
        ("section", ["1 whole section missing (text_encoder)", "13 tensors missing"]),
        ("half", ["1 tensor not float32 (decoder.decode.1.conv1.weight)"]),
        ("178", ["104 tensors missing", "104 tensors unknown to Kokoro", "and 99 more"]),
        ("hifigan", ["conv_post.weight [1, 128, 7]", "HiFi-GAN"]),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_list(
    loading: dict[str, Any], case: str, parts: list[str]
) -> None:
    assert [part for part in parts if part not in loading["refused"][case]] == []
    assert "Nothing was loaded" in loading["refused"][case]


def test_four_spellings_of_the_same_weights_are_the_same_to_the_bit(loading: dict[str, Any]) -> None:
    spelled = loading["spelled"]
    assert spelled["new_keys"] == 126
    assert len(set(spelled["digests"].values())) == 1
    assert spelled["same_audio"] == [True] * 4


def test_what_a_styletts2_file_has_beside_the_network_is_noted(loading: dict[str, Any]) -> None:
    notes = loading["spelled"]["notes"]
    assert notes["old"] == notes["new"] == notes["plain"] == []
    assert "style_encoder (1), predictor_encoder (1)" in notes["net"][0]
    assert "table of symbols" in notes["net"][1]


@pytest.mark.parametrize("batching", ["single", "padded"])
def test_weights_are_read_back_to_the_bit(loading: dict[str, Any], batching: str) -> None:
    assert loading["read_back"][batching] == [True, True, True]


@pytest.mark.parametrize("section", ["bert", "bert_encoder", "predictor", "decoder", "text_encoder"])
def test_every_section_is_heard(loading: dict[str, Any], section: str) -> None:
    assert loading["changed"][section] > 1e-3
    assert loading["changed"]["again"] == 0


def test_norms_are_taken_where_a_checkpoint_has_them_and_do_not_outlive_it(loading: dict[str, Any]) -> None:
    assert loading["norms"] == {"taken": True, "gone": True}


def test_the_seed_decides(loading: dict[str, Any]) -> None:
    assert loading["seeds"] == [True, True]


def test_espeak_reads_in_kokoros_symbols(front: dict[str, Any]) -> None:
    assert front["en-us"]["name"].startswith("espeak-ng 1.")
    assert front["en-us"]["plain"].startswith("həlˈO wˈɜɹld, ðɪs ɪz s")
    assert front["en-gb"]["plain"].startswith("həlˈQ wˈɜːld, ðɪs ɪz s")
    assert front["hi"]["plain"].startswith("nəmˈʌsteː, ")


@pytest.mark.parametrize("which", ["en-us", "en-gb", "program"])
def test_a_reading_replaces_the_front_ends(front: dict[str, Any], which: str) -> None:
    assert front[which]["read"].endswith(" sˈʊndəɹˌAʃən.")
    assert front[which]["plain"] != front[which]["read"]


def test_auto_says_what_it_uses(front: dict[str, Any]) -> None:
    if "refused" in front["misaki"]:
        assert "--set front_end=espeak" in front["misaki"]["refused"]
        assert front["auto"]["name"].endswith("(misaki cannot load: en_core_web_sm is not installed)")
    else:
        assert front["auto"]["name"].startswith("misaki 0.9.4 en-us")


def test_misakis_own_overrides_carry_the_readings(front: dict[str, Any]) -> None:
    assert front["tagged"]["name"].startswith("misaki 0.9.4 en-us (en_core_web_sm 0, espeak-ng 1.")
    assert front["tagged"]["plain"].startswith("həlˈO wˈɜɹld")
    assert " ˈʌnə nˈʌɡəɹ " in front["tagged"]["read"]
    assert "sˈʊndəɹˌAʃən" in front["tagged"]["read"]

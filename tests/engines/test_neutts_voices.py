"""NeuTTS' voices: files of codes, the text beside them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evalkit.engines.neutts.voices import VoiceCodes, is_codes, read_voice
from evalkit.errors import EvalkitError

CODES = [0, 5, 65535, 17]


def write(folder: Path, name: str = "anu.npy", codes: object = CODES, text: str | None = "Hello.\n") -> Path:
    path = folder / name
    if path.suffix == ".npy":
        np.save(path, np.asarray(codes))
    else:
        torch.save(torch.as_tensor(codes), path)
    if text is not None:
        path.with_suffix(".txt").write_text(text)
    return path


@pytest.mark.parametrize("name", ["anu.npy", "anu.pt"])
@pytest.mark.parametrize("shape", [(4,), (1, 4), (1, 1, 4)])
def test_codes_of_any_leading_dimensions(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    voice = read_voice(write(tmp_path, name, np.reshape(CODES, shape).astype(np.int32)), None)
    assert voice.name == "anu"
    assert voice.data == VoiceCodes((0, 5, 65535, 17), "Hello.")


def test_the_digest_is_of_codes_and_text(tmp_path: Path) -> None:
    digest = read_voice(write(tmp_path), None).digest
    assert read_voice(write(tmp_path, "renamed.pt"), "Hello.").digest == digest
    assert read_voice(write(tmp_path, "b.npy"), "Hullo.").digest != digest
    assert read_voice(write(tmp_path, "c.npy", [0, 5, 65535, 18]), None).digest != digest


def test_a_given_text_goes_before_the_file(tmp_path: Path) -> None:
    assert read_voice(write(tmp_path), " Given. ").data.text == "Given."


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ([0.5, 1.0], "float"),
        ([[1, 2], [3, 4]], r"\[2, 2\]"),
        ([-1, 4], "from -1 to 4"),
        ([1, 65536], "from 1 to 65536"),
        (np.zeros(0, np.int64), r"\[0\]"),
    ],
)
def test_what_is_no_row_of_codes_is_refused(tmp_path: Path, codes: object, said: str) -> None:
    with pytest.raises(EvalkitError, match=said):
        read_voice(write(tmp_path, codes=codes), None)


@pytest.mark.parametrize("text", [None, " \n"])
def test_a_voice_without_words_is_refused(tmp_path: Path, text: str | None) -> None:
    with pytest.raises(EvalkitError, match=r"anu\.txt beside it"):
        read_voice(write(tmp_path, text=text), None)


def test_a_pickle_with_code_in_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.pt"
    torch.save(Path("x"), path)
    with pytest.raises(EvalkitError, match="no tensor"):
        read_voice(path, "Hello.")


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="No such file"):
        read_voice(tmp_path / "nobody.pt", "Hello.")


def test_a_clip_is_no_file_of_codes() -> None:
    assert is_codes(Path("voice.npy"))
    assert is_codes(Path("voice.PT"))
    assert not is_codes(Path("voice.wav"))
    assert not is_codes(Path("nobody"))

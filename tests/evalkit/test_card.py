"""The card beside a checkpoint: whose voice it is, and what that is measured against."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.errors import EvalkitError
from evalkit.pipeline.card import Card, read_card


@pytest.mark.parametrize(
    ("voice", "found"),
    [
        ("packs/sarah.pt", "{folder}/packs/sarah.pt"),
        ("a.pt:0.7, b.pt:0.3", "{folder}/a.pt:0.7,{folder}/b.pt:0.3"),
        ("emily", "emily"),
        ("clips", "{folder}/clips"),
    ],
)
def test_voices_are_beside_the_card_or_names(tmp_path: Path, voice: str, found: str) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "model.toml").write_text(f'voice = "{voice}"\nvoice_text = "what is said"\nreference = "clips"\n')
    card = read_card(tmp_path / "model.pth")
    assert card.voice == found.format(folder=tmp_path)
    assert (card.voice_text, card.reference) == ("what is said", tmp_path / "clips")


def test_no_card_and_no_checkpoint_are_an_empty_card(tmp_path: Path) -> None:
    assert read_card(None) == read_card(tmp_path / "model.pth") == Card()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("voice = 3", "'voice' must be text in quotes"),
        ("voise = 'x'", "has the unknown key 'voise'"),
        ("voice = ", "is not valid TOML"),
    ],
)
def test_a_bad_card_is_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "model.toml").write_text(content)
    with pytest.raises(EvalkitError, match=sentence):
        read_card(tmp_path / "model.pth")

"""Templates of commands: what is a word, what is a placeholder, and what is neither."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engines.command.template import PLACEHOLDERS, parse_template
from evalkit.errors import EvalkitError

VALUES = dict.fromkeys(PLACEHOLDERS, "?")


def test_placeholders_and_braces() -> None:
    template = parse_template("""mytts --out={wav} 'two words' {{"a"}} -s{seed}{seed} '{text}'""")
    assert template.used == {"wav", "seed", "text"}
    values = {**VALUES, "wav": "/tmp/a b.wav", "seed": "7", "text": 'it\'s {wav}; $(rm) `x` "q"'}
    assert template.filled(values) == [
        "mytts", "--out=/tmp/a b.wav", "two words", "{a}", "-s77", "it's {wav}; $(rm) `x` \"q\"",
    ]  # fmt: skip


@given(st.text())
def test_a_value_stays_one_word_whatever_it_is(text: str) -> None:
    assert parse_template("say -t {text} x").filled({**VALUES, "text": text}) == ["say", "-t", text, "x"]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("", "Say which program"),
        ("   ", "Say which program"),
        ("say 'open", "No closing quotation"),
        ("say {", "write {{ for a brace"),
        ("say }", "write {{ for a brace"),
        ("say {texts}", "did you mean '{text}'"),
        ("say {}", "Unknown placeholder '{}'"),
        ("say {0}", "Unknown placeholder"),
        ("say {text!r}", "Unknown placeholder"),
        ("say {text:>10}", "Unknown placeholder"),
        ("say {text.__class__}", "Unknown placeholder"),
        ("say {text[0]}", "Unknown placeholder"),
    ],
)
def test_a_template_that_cannot_be_filled(template: str, said: str) -> None:
    with pytest.raises(EvalkitError) as caught:
        parse_template(template)
    assert said in str(caught.value)

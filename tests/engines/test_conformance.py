"""What conforms passes: a toy with everything an engine can have, tinytts, and the example plugin, in its own test."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_engine import Toy

from evalkit.engines.conformance import CHECKS, assert_conforms, check, prepare
from evalkit.engines.tinytts.engine import TinyTTS
from evalkit.errors import EvalkitError

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "tests" / "plugin_package"
GUIDE = ROOT / "docs" / "engines" / "writing.md"


def test_a_toy_with_everything_conforms(tmp_path: Path) -> None:
    example = Toy.example(tmp_path, seed=0)
    findings = check(lambda: prepare(Toy(), example), example)
    assert [str(finding) for finding in findings if finding.ok is False] == []
    assert [finding.check for finding in findings] == list(CHECKS)
    not_for_it = {"imports", "broken_file", "no_checkpoint"}
    assert {finding.check for finding in findings if finding.ok is None} == not_for_it


@pytest.mark.parametrize("seed", [0, 1])
def test_tinytts_conforms(tmp_path: Path, seed: int) -> None:
    example = TinyTTS.example(tmp_path, seed)
    assert_conforms(lambda: prepare(TinyTTS(), example), example)


def test_an_example_depends_on_its_seed_alone(tmp_path: Path) -> None:
    digests = []
    for number, seed in enumerate((0, 0, 1)):
        (tmp_path / str(number)).mkdir()
        torch.manual_seed(number)
        example = TinyTTS.example(tmp_path / str(number), seed)
        assert example.checkpoint is not None
        digests.append(example.checkpoint.read_bytes())
    assert digests[0] == digests[1] != digests[2]


def test_the_plugins_own_test_passes() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider"]
    command += ["--rootdir", str(PLUGIN), "--confcutdir", str(PLUGIN), str(PLUGIN / "tests")]
    path = os.pathsep.join([str(PLUGIN), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_two_engines_are_made_and_closed(tmp_path: Path) -> None:
    made: list[Toy] = []
    closed: list[Toy] = []

    class Held(Toy):
        def close(self) -> None:
            closed.append(self)

    def make() -> Held:
        made.append(prepare(Held(), example))
        return made[-1]  # type: ignore[return-value]

    example = Toy.example(tmp_path, seed=0)
    check(make, example)
    assert len(made) == 2 and closed == made


def test_checks_leave_the_global_random_state(tmp_path: Path) -> None:
    example = Toy.example(tmp_path, seed=0)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)["state"]["pos"]
    check(lambda: prepare(Toy(), example), example)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)["state"]["pos"]
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]


def test_only_some_checks(tmp_path: Path) -> None:
    example = Toy.example(tmp_path, seed=0)
    findings = check(lambda: prepare(Toy(), example), example, only=("seeds", "audio"))
    assert [finding.check for finding in findings] == ["audio", "seeds"]
    with pytest.raises(EvalkitError, match="no check 'sound'"):
        check(lambda: prepare(Toy(), example), example, only=("sound",))


def test_the_guide_has_every_check_in_the_words_of_its_docstring() -> None:
    table = GUIDE.read_text(encoding="utf-8").partition("| check |")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE))
    assert rows == {name: str(run.__doc__).replace("\n", " ") for name, run in CHECKS.items()}


def test_the_guide_quotes_the_plugin_word_for_word() -> None:
    sources = [path.read_text(encoding="utf-8") for path in PLUGIN.rglob("*.py")]
    quotes = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(quotes) >= 3
    for quote in quotes:
        assert any(quote in source for source in sources), quote

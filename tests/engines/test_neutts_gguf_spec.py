"""What neutts-gguf says of itself where its packages are not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import evalkit.engines.neutts
from evalkit.engines.neutts.engine import NeuTTS
from evalkit.engines.neutts.gguf import NeuTTSGguf
from evalkit.errors import EvalkitError

FOLDER = Path(evalkit.engines.neutts.__file__).parent
HEAVY = ("llama_cpp", "gguf", "neutts", "neucodec", "transformers", "peft", "perth")


def pins(name: str) -> set[str]:
    return {line for line in (FOLDER / name).read_text().splitlines() if line and not line.startswith("#")}


def test_the_module_imports_none_of_its_packages() -> None:
    code = (
        f"import sys, evalkit.engines.neutts.gguf as g; print([m for m in {HEAVY} if m in sys.modules], g.NeuTTSGguf())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] ")


def test_the_lock_is_that_of_neutts_and_llama_cpp() -> None:
    more = pins("requirements-gguf.txt") - pins("requirements.txt")
    assert pins("requirements.txt") <= pins("requirements-gguf.txt")
    assert {line.split("==")[0] for line in more} == {"llama-cpp-python", "gguf", "diskcache"}


def test_the_lock_has_what_the_spec_was_tested_with() -> None:
    environment = NeuTTSGguf.spec.environment
    assert environment is not None
    assert {f"{name}=={version}" for name, version in environment.packages.items()} <= pins("requirements-gguf.txt")


def test_both_engines_share_their_options() -> None:
    ours, theirs = NeuTTSGguf.spec.options, NeuTTS.spec.options
    shared = set(ours) & set(theirs)
    assert {"temperature", "top_k", "min_new_tokens", "max_length", "emotion", "language", "watermark"} <= shared
    assert set(ours) - shared == {"top_p", "min_p", "n_threads"}


def test_it_takes_a_file_and_no_tensors() -> None:
    engine = NeuTTSGguf()
    assert engine.spec.weights == "file"
    assert engine.weights() == {}
    with pytest.raises(EvalkitError, match="runs a GGUF file"):
        engine.load({})


def test_it_says_that_nothing_is_loaded() -> None:
    with pytest.raises(EvalkitError, match="load_file"):
        NeuTTSGguf().synthesize([])

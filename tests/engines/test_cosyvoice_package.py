"""CosyVoice's own classes through the engine. By hand: nothing that installs it can be made for everybody.

EVALKIT_COSYVOICE_SOURCE names a checkout with its submodule, EVALKIT_COSYVOICE_PYTHON a Python with its requirements.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from evalkit.engines.source import source_folder

pytestmark = pytest.mark.engines

SCRIPT = Path(__file__).parent / "package_cosyvoice" / "real_checkout.py"
LIMIT_S = 900


@pytest.fixture(scope="module", params=["2", "3"])
def found(request: pytest.FixtureRequest) -> dict[str, Any]:
    source, python = os.environ.get("EVALKIT_COSYVOICE_SOURCE"), os.environ.get("EVALKIT_COSYVOICE_PYTHON")
    if not source or not python:
        pytest.skip("EVALKIT_COSYVOICE_SOURCE and EVALKIT_COSYVOICE_PYTHON are not set: see docs/engines/cosyvoice.md")
    with source_folder() as path:
        done = subprocess.run(
            [python, str(SCRIPT), source, request.param],
            env={**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-4000:]
    measured: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured


def test_it_speaks(found: dict[str, Any]) -> None:
    assert found["statuses"] == ["ok"] * 4, found["reasons"]
    assert found["sample_rate"] == 24000 and found["random_state_kept"]
    assert found["same_seed_same_audio"] and found["other_seed_other_audio"]


def test_it_says_what_cosyvoice_itself_says(found: dict[str, Any]) -> None:
    assert found["parity"]["samples"][0] == found["parity"]["samples"][1]
    assert found["parity"]["largest"] < 1e-6


@pytest.mark.parametrize("name", ["llm", "flow", "hift"])
def test_a_section_is_loaded_strictly(found: dict[str, Any], name: str) -> None:
    section = found["sections"][name]
    assert section["read_back"] and section["digests_differ"] and section["heard"]
    assert section["recognised"] == "cosyvoice" and section["layouts"]
    assert all("Nothing was loaded" in said for said in section["refused"])


def test_a_stream_begins_early_and_can_be_left(found: dict[str, Any]) -> None:
    first, second = found["stream"]["twice"]
    assert first["chunks"][0] == second["chunks"][0] and len(first["chunks"]) > 1
    assert first["first_s"] < first["total_s"]
    assert found["stream"]["kept_of_a_stream_left_early"] == {}


def test_a_failing_language_model_is_a_failure(found: dict[str, Any]) -> None:
    assert found["failing_llm"]["status"] == "failed" and "no more tokens" in found["failing_llm"]["reason"]
    assert "no more tokens" in found["failing_llm"]["streamed"]

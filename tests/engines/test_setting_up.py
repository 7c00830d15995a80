"""Settings become options and assets; an asset counts by its content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hostile_engine import Hostile

from evalkit.engines import Asset, EngineSpec, Option, Setup
from evalkit.engines.setting_up import asset_digests, resolve
from evalkit.errors import EvalkitError

SPEC: EngineSpec = replace(
    Hostile.spec,
    name="toy",
    options={"speed": Option(1.0, "how fast", low=0.5, high=2.0)},
    assets={
        "vocab": Asset("a list of symbols", names=("vocab.txt", "symbols.txt")),
        "vocoder": Asset("a vocoder", hub=("someone/vocoder", "model.bin"), required=False),
    },
)


def test_settings_are_sorted_into_options_and_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v.txt").touch()
    monkeypatch.chdir(tmp_path)
    setup = resolve(SPEC, ["speed=1.5", "vocab=v.txt"])
    assert setup.options == {"speed": 1.5}
    assert setup.assets == {"vocab": tmp_path / "v.txt"}  # a worker has another folder to be relative to


def test_usual_names_are_looked_for_near_the_checkpoint(tmp_path: Path) -> None:
    near = [tmp_path / "a", tmp_path / "b"]
    for folder in near:
        folder.mkdir()
    (near[1] / "vocab.txt").touch()
    assert resolve(SPEC, [], near).assets["vocab"] == near[1] / "vocab.txt"
    (near[0] / "symbols.txt").touch()
    assert resolve(SPEC, [], near).assets["vocab"] == near[0] / "symbols.txt"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["speed=fast"], "speed=fast: it takes a number. It also takes these files: vocab, vocoder."),
        (["vocabb=x"], "the engine 'toy' has no option 'vocabb'"),
        (["vocab=nowhere.txt"], "--set vocab=nowhere.txt: there is no such file or folder."),
        ([], "The engine 'toy' needs a list of symbols (looked for vocab.txt or symbols.txt in "),
    ],
)
def test_bad_settings_are_one_sentence(tmp_path: Path, settings: list[str], sentence: str) -> None:
    with pytest.raises(EvalkitError) as caught:
        resolve(SPEC, settings, [tmp_path])
    assert sentence in str(caught.value)


def test_a_file_in_the_hub_cache_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    snapshot = tmp_path / "models--someone--vocoder" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.bin").touch()
    refs = tmp_path / "models--someone--vocoder" / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    (tmp_path / "vocab.txt").touch()
    monkeypatch.setattr(hub.file_download.constants, "HF_HUB_CACHE", str(tmp_path))
    assert resolve(SPEC, [], [tmp_path]).assets["vocoder"] == snapshot / "model.bin"


def test_digests_follow_content_and_names_not_places(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "x.bin").write_bytes(b"1")
    digests = [asset_digests(Setup({"vocoder": tmp_path / name}))["vocoder"] for name in ("a", "b")]
    assert digests[0] == digests[1]
    (tmp_path / "b" / ".git").mkdir()
    (tmp_path / "b" / ".git" / "head").write_text("x")
    assert asset_digests(Setup({"vocoder": tmp_path / "b"}))["vocoder"] == digests[0]
    (tmp_path / "b" / "sub" / "x.bin").write_bytes(b"2")
    assert asset_digests(Setup({"vocoder": tmp_path / "b"}))["vocoder"] != digests[0]
    (tmp_path / "b" / "sub" / "x.bin").write_bytes(b"1")
    (tmp_path / "b" / "sub" / "x.bin").rename(tmp_path / "b" / "sub" / "y.bin")
    assert asset_digests(Setup({"vocoder": tmp_path / "b"}))["vocoder"] != digests[0]


def test_a_checkpoints_own_folder_counts_without_its_weights(tmp_path: Path) -> None:
    for name, content in (("config.json", "{}"), ("model.safetensors", "1"), ("vocab.txt", "a")):
        (tmp_path / name).write_text(content)
    before = asset_digests(Setup({"backbone": tmp_path}))
    (tmp_path / "model.safetensors").write_text("2")
    assert asset_digests(Setup({"backbone": tmp_path})) == before
    (tmp_path / "vocab.txt").write_text("b")
    assert asset_digests(Setup({"backbone": tmp_path})) != before

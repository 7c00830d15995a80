"""Where a merge may write: nothing that is a parent, holds one or is somebody's own; whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from merge_recipes import recipe
from safetensors.torch import save_file

from evalkit.checkpoints import read_checkpoint
from evalkit.checkpoints.writing import remove_leftovers
from evalkit.checkpoints.writing_folder import whole_folder
from evalkit.errors import EvalkitError
from evalkit.merging.files import merge_files
from evalkit.merging.recipe import Recipe, make_recipe

DEAD = 2**22 + 1  # no process has this number


def model(folder: Path, value: float, sharded: bool = False) -> Path:
    folder.mkdir(parents=True)
    name = "model-00001-of-00001.safetensors" if sharded else "model.safetensors"
    save_file({"w": torch.full((2,), value)}, folder / name)
    if sharded:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": name}}))
    (folder / "config.json").write_text("{}")
    return folder


def both(folder: Path, **arguments: Any) -> Recipe:
    base, one = model(folder / "base", 1.0, **arguments), model(folder / "one", 2.0)
    return make_recipe({"base": str(base), "models": [{"path": str(one)}]}, "")


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(wrong: Recipe, out: Path, **arguments: Any) -> str:
    """The sentence; nothing in the folder changed."""
    before = files_in(out.parent)
    with pytest.raises(EvalkitError) as raised:
        merge_files(wrong, out, **arguments)
    assert files_in(out.parent) == before
    return str(raised.value)


def test_a_folder_that_holds_a_parent_is_never_replaced(tmp_path: Path) -> None:
    held = both(tmp_path / "all" / "models")
    assert "one of the parents, or holds one" in refused(held, tmp_path / "all", overwrite=True)
    model(tmp_path / "elsewhere", 1.0)
    (tmp_path / "links").mkdir()
    for file in ("model.safetensors", "config.json"):  # as a model cache has them
        (tmp_path / "links" / file).symlink_to(tmp_path / "elsewhere" / file)
    linked = make_recipe({"base": str(tmp_path / "elsewhere"), "models": [{"path": str(tmp_path / "links")}]}, "")
    assert "one of the parents" in refused(linked, tmp_path / "links", overwrite=True)


def test_a_folder_that_no_merge_made_is_never_replaced(tmp_path: Path) -> None:
    made = both(tmp_path / "in")
    own = model(tmp_path / "own", 3.0)
    for out in (own, tmp_path / "notes"):
        out.mkdir(exist_ok=True)
        (out / "notes.txt").write_text("precious")
        assert "it is a folder, and not one that evalkit merge made" in refused(made, out, overwrite=True)
    merge_files(made, tmp_path / "out")
    merge_files(made, tmp_path / "out", overwrite=True)
    (tmp_path / "out" / "audio").mkdir()
    assert "not one that evalkit merge made" in refused(made, tmp_path / "out", overwrite=True)
    (tmp_path / "folder.pth").mkdir()
    assert "it is a folder" in refused(made, tmp_path / "folder.pth", overwrite=True)


def test_a_file_or_a_link_gives_way_to_a_folder_and_what_it_points_at_stays(tmp_path: Path) -> None:
    made, target = both(tmp_path / "in"), model(tmp_path / "target", 5.0)
    (tmp_path / "plain").write_text("old")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name in ("plain", "link", "dangling"):
        out = tmp_path / name
        assert "give --force" in refused(made, out)
        merge_files(made, out, overwrite=True)
        assert not out.is_symlink() and read_checkpoint(out).tensors["w"][0] == 2.0
    assert read_checkpoint(target).tensors["w"][0] == 5.0 and not list(tmp_path.glob(".*"))


def test_a_file_does_not_become_the_weights_of_a_parent(tmp_path: Path) -> None:
    """Beside shards, a model.safetensors would be read in their place."""
    made = both(tmp_path, sharded=True)
    for name in ("model.safetensors", "merged.pth"):
        assert "among the weights of the parent" in refused(made, tmp_path / "base" / name)
    assert read_checkpoint(tmp_path / "base").tensors["w"][0] == 1.0


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, out = both(tmp_path / "in"), tmp_path / "out"
    merge_files(made, out)
    rename = Path.rename

    def fails_once(self: Path, target: Path) -> Path:
        if target == out and not self.name.endswith(".old.tmp"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_once)
    with pytest.raises(EvalkitError, match="Input/output error"):
        merge_files(made, out, overwrite=True)
    assert read_checkpoint(out).tensors["w"][0] == 2.0 and not list(tmp_path.glob(".*"))


def test_the_old_folder_comes_back_after_a_kill_and_goes_once_there_is_a_new_one(tmp_path: Path) -> None:
    out, aside = tmp_path / "out", tmp_path / f".out.{DEAD}.ab.old.tmp"
    model(aside, 7.0)
    remove_leftovers(out)
    assert read_checkpoint(out).tensors["w"][0] == 7.0 and not aside.exists()
    model(aside, 6.0)
    remove_leftovers(out)
    assert read_checkpoint(out).tensors["w"][0] == 7.0 and not aside.exists()
    out.rename(aside)
    assert "exists; choose another name" in refused_after_kill(both(tmp_path / "in"), out)


def refused_after_kill(made: Recipe, out: Path) -> str:
    with pytest.raises(EvalkitError) as raised:
        merge_files(made, out)
    assert read_checkpoint(out).tensors["w"][0] == 7.0
    return str(raised.value)


def test_what_a_process_of_the_same_number_left_is_not_in_the_way(tmp_path: Path) -> None:
    """In containers, numbers repeat."""
    (tmp_path / f".out.{os.getpid()}.tmp").mkdir()
    merge_files(both(tmp_path / "in"), tmp_path / "out")


def test_a_folder_is_gone_if_what_fills_it_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "out") as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_flipped_bit_in_a_parent_is_found(tmp_path: Path) -> None:
    """torch maps the file and checks nothing: the bit would be a weight."""
    for name, value in (("base", 1.0), ("sarah", 2.0), ("sumit", 3.0)):
        torch.save({"net.w": torch.full((64,), value), "net.v": torch.full((64,), value)}, tmp_path / f"{name}.pth")
    merge_files(recipe(tmp_path), tmp_path / "sound.pth")
    content = bytearray((tmp_path / "sarah.pth").read_bytes())
    place = content.index(torch.full((64,), 2.0).numpy().tobytes())
    content[place + 3] ^= 1
    (tmp_path / "sarah.pth").write_bytes(content)
    message = refused(recipe(tmp_path), tmp_path / "merged.pth")
    assert "sarah.pth is damaged (record 'data/0'): copy it again" in message

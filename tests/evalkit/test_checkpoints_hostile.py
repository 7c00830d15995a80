"""Hostile and broken checkpoints: each refused in one sentence, in bounded memory and time, and nothing executed."""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import hostile_files as hostile
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evalkit.checkpoints import read_checkpoint
from evalkit.errors import EvalkitError

# Reads what it is given on standard input; anything but an EvalkitError ends it with a traceback.
READS = """
import json, re, sys, warnings
from pathlib import Path
from evalkit.checkpoints import read_checkpoint
from evalkit.errors import EvalkitError

def peak():
    status = Path("/proc/self/status")
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1]) if status.exists() else 0

paths = [Path(name) for name in json.load(sys.stdin)]
for path in paths[:2]:  # good ones: what reading needs at all is not counted
    read_checkpoint(path)
before, said = peak(), {}
for path in paths[2:]:
    try:
        said[str(path)] = "READ " + " ".join(read_checkpoint(path).tensors)
    except EvalkitError as error:
        said[str(path)] = str(error)
print(json.dumps([said, peak() - before]))
"""


@pytest.mark.filterwarnings("ignore")  # torch warns of the quantised and sparse tensors that are written here
def test_hostile_files_are_refused_in_one_sentence_and_little_memory(tmp_path: Path) -> None:
    canary, good = tmp_path / "executed", [tmp_path / "good.pth", tmp_path / "good.safetensors"]
    words = hostile.write_all(tmp_path / "hostile", canary)
    assert len(words) > 100
    hostile.archive(good[0], hostile.program(hostile.mapping({"w": hostile.tensor()})))
    good[1].write_bytes(hostile.safetensors({"w": hostile.entry()}))
    done = subprocess.run(
        [sys.executable, "-c", READS],
        input=json.dumps([str(path) for path in (*good, *words)]),
        capture_output=True,
        text=True,
        timeout=120,  # all of them take some ten seconds; a pipe that is opened takes for ever
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, kilobytes = json.loads(done.stdout)
    wrong = {}
    for path, word in words.items():
        message = said[str(path)]
        told = message.replace(str(path), "")
        if word not in told or message.startswith("READ") or not message.isprintable() or path.name not in message:
            wrong[path.name] = (word, message)
    assert not wrong
    assert not canary.exists()
    assert kilobytes < 40 * 1024


def test_the_pickles_that_would_run_code_are_armed(tmp_path: Path) -> None:
    canary = tmp_path / "executed"
    armed = ("protocol_0.pth", "inst.pth", "obj.pth")
    for name, _, write in hostile.code(canary):
        if name in armed:
            write(tmp_path / name)
            pickle.loads((tmp_path / name).read_bytes())
            assert canary.exists(), name
            canary.unlink()


@pytest.mark.parametrize("kind", ["archive", "legacy"])
def test_the_files_are_refused_for_what_is_wrong_with_them_alone(tmp_path: Path, kind: str) -> None:
    """The same writers make good files where they are given nothing bad."""
    path, view = tmp_path / "good.pth", () if kind == "archive" else (b"N",)
    weights = hostile.tensor(where=hostile.storage(4, "FloatStorage", "0", *view))
    getattr(hostile, kind)(path, hostile.program(hostile.mapping({"w": weights})))
    assert torch.equal(read_checkpoint(path).tensors["w"], torch.zeros(4))


def test_tensors_are_found_though_their_dict_hides_them(tmp_path: Path) -> None:
    """A file may set attributes of an OrderedDict; `items` would then give what the file says."""
    body = hostile.call("collections.OrderedDict") + b"(" + hostile.text("w") + hostile.tensor() + b"u"
    body += hostile.mapping({"items": b"ctorch\nSize\n", "keys": b"N"}) + b"b"
    hostile.archive(tmp_path / "a.pth", hostile.program(hostile.mapping({"a": body, "b": b"K\x01"})))
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert list(checkpoint.tensors) == ["a.w"]
    assert checkpoint.sections == ("a",)


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_pickle_never_gives_a_tensor_beyond_its_storage(tmp_path: Path, data: st.DataObject) -> None:
    """Numbers, opcodes and their order are changed; what is still read lies within the sixteen bytes of the file."""
    weights = {"a": hostile.tensor(), "b": hostile.tensor((2, 1), (2, 1), 1)}
    pickled = bytearray(hostile.program(hostile.mapping(weights)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(pickled) - 1))
        change = data.draw(st.binary(max_size=3))
        pickled[place : place + data.draw(st.integers(0, 2))] = change
    path = tmp_path / "a.pth"
    hostile.archive(path, bytes(pickled))
    try:
        tensors = read_checkpoint(path).tensors
    except EvalkitError as error:
        assert str(error).isprintable()
        return
    for tensor in tensors.values():
        assert tensor.untyped_storage().nbytes() <= 16
        assert tensor.nbytes <= 16
        tensor.clone()


JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(JSON)
@example({"": "\U00013460"})  # the library quotes it: a control character of hieroglyphs
@example({"": "x" * 10**5})
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_no_more_than_a_refusal_as_a_header(tmp_path: Path, header: Any) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(hostile.safetensors(header))
    with pytest.raises(EvalkitError) as raised:
        read_checkpoint(path)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < len(str(path)) + 400


def test_a_legacy_file_whose_storages_disagree_with_its_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.ones(4)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    path.write_bytes(whole[:-24] + struct.pack("<q", 5) + whole[-16:])
    with pytest.raises(EvalkitError, match="does not hold the tensors"):
        read_checkpoint(path)
    path.write_bytes(whole)
    assert torch.equal(read_checkpoint(path).tensors["w"], torch.ones(4))

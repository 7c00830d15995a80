"""Checkpoints that do harm or are broken in one way each, with a word of the sentence that refuses each of them."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save, save_file

Hostile = tuple[str, str, Callable[[Path], object]]  # file name, word of the refusal, writer


class Calls:
    """A pickle of it calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.called = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.called


# A pickle, opcode by opcode (pickletools describes them).


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def pack(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def mapping(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def call(name: str, *arguments: bytes) -> bytes:
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode() + pack(*arguments) + b"R"


def storage(items: int = 4, kind: str = "FloatStorage", key: str = "0", *view: bytes) -> bytes:
    return pack(text("storage"), f"ctorch\n{kind}\n".encode(), text(key), text("cpu"), number(items), *view) + b"Q"


def tensor(
    size: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,), offset: int = 0, where: bytes | None = None
) -> bytes:
    shape, steps = pack(*map(number, size)), pack(*map(number, stride))
    hooks = call("collections.OrderedDict")
    return call("torch._utils._rebuild_tensor_v2", where or storage(), number(offset), shape, steps, b"\x89", hooks)


def program(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def archive(path: Path, pickled: bytes, records: Mapping[str, bytes] | None = None, **options: Any) -> None:
    """What torch.save writes around a pickle; records: further ones, by default a storage of four floats."""
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/version", b"3\n")
        for name, data in ({"archive/data/0": bytes(16)} if records is None else records).items():
            file.writestr(name, data)


def legacy(path: Path, pickled: bytes, keys: bytes = b"]X\x01\x00\x00\x000a", data: bytes = b"") -> None:
    """The format before torch 1.6: magic number, version, description of the machine, object, keys, storages."""
    head = program(number(0x1950A86A20F9469CFC6C)) + program(number(1001)) + program(b"}")
    path.write_bytes(head + pickled + program(keys) + (data or struct.pack("<q4f", 4, 0, 0, 0, 0)))


def safetensors(header: Any, data: bytes = bytes(16), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(begin: int = 0, end: int = 16, dtype: str = "F32", shape: tuple[int, ...] = (4,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def code(canary: Path) -> Iterator[Hostile]:
    """Pickles that would run code. The canary is a file that they would write."""
    touch = f"touch {canary}"
    line = f"S'{touch}'\n".encode()
    memo = b"\x80\x04" + b"\x8c\x05posix\x940\x8c\x06system\x940h\x00h\x01\x93" + text(touch) + b"\x85R."
    weights = {"w": torch.zeros(2)}
    yield "system.pth", "posix.system", lambda p: torch.save({**weights, "x": Calls(os.system, touch)}, p)
    yield "eval.pth", "eval", lambda p: torch.save({"x": Calls(eval, f"open({str(canary)!r}, 'w')"), **weights}, p)
    yield "section.pth", "posix.system", lambda p: torch.save({"a": {"b": {"c": Calls(os.system, touch)}}}, p)
    yield "key.pth", "posix.system", lambda p: torch.save({(Calls(os.system, touch),): 1}, p)
    yield "protocol_0.pth", "posix.system", lambda p: p.write_bytes(b"cposix\nsystem\n(" + line + b"tR.")
    yield "inst.pth", "posix.system", lambda p: p.write_bytes(b"(" + line + b"iposix\nsystem\n.")
    yield "obj.pth", "posix.system", lambda p: p.write_bytes(b"(cposix\nsystem\n" + line + b"o.")
    yield "protocol_5.pth", "posix.system", lambda p: torch.save(Calls(os.system, touch), p, pickle_protocol=5)
    yield "stack_global.pth", "posix.system", lambda p: archive(p, memo)
    yield "newobj.pth", "subprocess.Popen", lambda p: archive(p, program(b"csubprocess\nPopen\n" + line + b"\x85\x81"))
    yield "extension.pth", "EXT1", lambda p: archive(p, program(b"\x82\x01)R"))
    yield "second_pickle.pth", "posix.system", lambda p: legacy(p, program(b"}"), b"cposix\nsystem\n(" + line + b"tR")
    yield "hub.pth", "torch.hub.load", lambda p: archive(p, program(call("torch.hub.load", text("a/b"), text("c"))))
    yield (
        "load.pth",
        "torch.serialization.load",
        lambda p: archive(p, program(call("torch.serialization.load", text(touch)))),
    )
    yield "numpy.pth", "numpy", lambda p: torch.save({**weights, "x": np.zeros(3)}, p)
    yield "numpy_scalar.pth", "numpy", lambda p: torch.save({**weights, "loss": np.float64(1)}, p)
    yield "newline.pth", "refused", lambda p: archive(p, program(b"ca\rb\x1b[2J\nc\n)R"))
    yield "script.pth", "TorchScript", lambda p: torch.jit.trace(torch.nn.Linear(1, 1), torch.ones(1, 1)).save(p)
    yield "call_of_dtype.pth", "refused", lambda p: archive(p, program(call("torch.float32")))


def bombs(_: Path) -> Iterator[Hostile]:
    """Small files that ask for more memory or time than there is."""
    shared: dict[str, Any] = {"w": torch.zeros(1)}
    lists: list[Any] = [1]
    for _level in range(31):
        shared, lists = {"a": shared, "b": shared}, [lists, lists]
    loop: dict[str, Any] = {"w": torch.zeros(1)}
    loop["model"] = loop
    prime = 2**61 - 1  # the modulus of Python's hash of integers
    colliding = b"}(" + b"".join(number(prime * i) + b"N" for i in range(1, 30_000)) + b"u"
    deep = b"}" + (text("a") + b"}") * 50_000 + b"s" * 50_000
    key = b")" + b"\x85" * 200_000
    names = mapping({"n" * 2**20: mapping({str(i): tensor() for i in range(2000)})})
    aliases = mapping({str(i): tensor((4096,), where=storage(4096)) for i in range(2000)})
    yield "shared_dicts.pth", "more than", lambda p: torch.save(shared, p)
    yield "shared_lists.pth", "more entries", lambda p: torch.save({"w": torch.zeros(1), "x": lists}, p)
    yield "loop.pth", "deep", lambda p: torch.save(loop, p)
    yield "deep_dicts.pth", "deep", lambda p: archive(p, program(deep))
    yield "deep_key.pth", "keys", lambda p: archive(p, program(b"}" + key + b"Ns"))
    yield "colliding_keys.pth", "keys", lambda p: archive(p, program(colliding))
    yield "many_objects.pth", "more objects", lambda p: archive(p, program(b"]" * 2**20))
    yield "many_opcodes.pth", "more objects", lambda p: archive(p, program(b"N" * (2**21 + 1)))
    yield "huge_number.pth", "LONG4", lambda p: archive(p, program(b"\x8b" + struct.pack("<i", 2**20) + bytes(2**20)))
    yield "huge_text.pth", "damaged", lambda p: archive(p, program(b"X" + struct.pack("<I", 2**32 - 1)))
    yield "long_names.pth", "characters", lambda p: archive(p, program(names))
    yield "aliases.pth", "repeats", lambda p: archive(p, program(aliases), {"archive/data/0": bytes(4 * 4096)})
    yield "float_tensor.pth", "FloatTensor", lambda p: archive(p, program(call("torch.FloatTensor", number(2**40))))
    yield "tensor.pth", "torch.Tensor", lambda p: archive(p, program(call("torch.Tensor", number(2**40))))
    yield "bytearray.pth", "bytearray", lambda p: archive(p, program(call("builtins.bytearray", number(2**40))))
    yield "hidden_call.pth", "holds a", lambda p: archive(p, program(mapping({"w": tensor(), "x": b"ctorch\nSize\n"})))


def tensors(_: Path) -> Iterator[Hostile]:
    """Tensors that are not in the file, or not as their shape says."""

    def one(body: bytes, **options: Any) -> Callable[[Path], object]:
        return lambda path: archive(path, program(mapping({"w": body})), **options)

    def old(body: bytes, *data: Any) -> Callable[[Path], object]:
        return lambda path: legacy(path, program(mapping({"w": body})), *data)

    def saved(value: torch.Tensor) -> Callable[[Path], object]:
        return lambda path: torch.save({"w": value}, path)

    grown = mapping({"a": tensor((1,), where=storage(1)), "w": tensor((2**30,), where=storage(2**30))})
    yield "stride_0.pth", "claims more", one(tensor((2**40,), (0,)))
    yield "expanded.pth", "claims more", saved(torch.zeros(1).expand(2**40))
    yield "overlapping.pth", "claims more", one(tensor((2, 3), (1, 1)))
    yield "overflow.pth", "claims more", one(tensor((2**62, 4), (0, 0)))
    yield "past_the_end.pth", "claims more", one(tensor(offset=1))
    yield "negative_size.pth", "negative", one(tensor((-4,)))
    yield "negative_stride.pth", "negative", one(tensor((2,), (-1,), 2))
    yield "negative_offset.pth", "negative", one(tensor(offset=-1))
    yield "negative_storage.pth", "negative", one(tensor((0,), where=storage(-4)))
    yield "dimensions.pth", "damaged", one(tensor((1,) * 10_000, (1,) * 10_000))
    yield "claimed.pth", "does not hold", one(tensor((2**40,), where=storage(2**40)))
    yield "no_record.pth", "does not hold", one(tensor(), records={})
    yield "two_ways.pth", "two ways", lambda p: archive(p, program(grown))
    yield (
        "two_types.pth",
        "two ways",
        lambda p: archive(p, program(mapping({"a": tensor(), "b": tensor(where=storage(2, "DoubleStorage"))}))),
    )
    yield "legacy_claimed.pth", "does not hold", old(tensor((2**40,), where=storage(2**40, "FloatStorage", "0", b"N")))
    yield "legacy_keys.pth", "does not hold", old(tensor(where=storage(4, "FloatStorage", "0", b"N")), b"]")
    yield (
        "legacy_longer.pth",
        "does not hold",
        old(tensor(where=storage(4, "FloatStorage", "0", b"N")), b"]X\x01\x00\x00\x000a", bytes(99)),
    )
    yield (
        "legacy_view.pth",
        "damaged",
        old(tensor(where=storage(4, "FloatStorage", "0", pack(text("v"), number(0), number(2**40))))),
    )
    yield "sparse.pth", "not dense", saved(torch.eye(3).to_sparse())
    yield "csr.pth", "not dense", saved(torch.eye(3).to_sparse_csr())
    yield "quantised.pth", "not dense", saved(torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8))
    yield "meta.pth", "not dense", saved(torch.empty(2**40, device="meta"))
    yield "nested.pth", "not dense", saved(torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]))
    yield "conjugated.pth", "conjugated", saved(torch.ones(2, dtype=torch.complex64).conj())
    yield "escape.pth", "control characters", lambda p: torch.save({"a\x1b[2J\nb": torch.zeros(1)}, p)


def zips(_: Path) -> Iterator[Hostile]:
    """Archives that two readers could understand in two ways, or not at all."""
    good = program(mapping({"w": tensor()}))

    def changed(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
        def write(path: Path) -> None:
            archive(path, good)
            path.write_bytes(change(path.read_bytes()))

        return write

    def holding(**records: bytes) -> Callable[[Path], object]:
        named = {name.replace("__", "/"): data for name, data in records.items()}
        return lambda path: archive(path, good, {"archive/data/0": bytes(16), **named})

    def twice(path: Path) -> None:
        archive(path, good, {"archive/data/0": bytes(16), "archive/data/1": bytes(16)})
        path.write_bytes(path.read_bytes().replace(b"/data/1", b"/data/0"))

    def flagged(data: bytes) -> bytes:
        at = data.index(b"PK\x01\x02") + 8
        return data[:at] + b"\x01" + data[at + 1 :]

    def overlapping(data: bytes) -> bytes:
        """The second record begins where the first one does."""
        second = data.rindex(b"PK\x01\x02")
        return data[: second + 42] + bytes(4) + data[second + 46 :]

    crowd = b"PK\x01\x02" + bytes(24) + b"\x01\x00" + bytes(16) + b"a"
    crowded = crowd * 170_000 + b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 9, 9, len(crowd) * 170_000, 0, 0)
    yield (
        "bomb.pth",
        "compressed",
        lambda p: archive(p, good, {"archive/data/0": bytes(2**26)}, compression=zipfile.ZIP_DEFLATED),
    )
    yield "encrypted.pth", "encrypted", changed(flagged)
    yield "case.pth", "one name", holding(archive__DATA__0=bytes(16))
    yield "twice.pth", "one name", twice
    yield "parent.pth", "outside", holding(**{"archive/../../x": b""})
    yield "absolute.pth", "outside", holding(**{"/etc/x": b""})
    yield "other_root.pth", "outside", holding(other__data__0=b"")
    yield "cut.pth", "cut short", changed(lambda data: data[:-1])
    yield "cut_in_two.pth", "cut short", changed(lambda data: data[: len(data) // 2])
    yield "behind.pth", "cut short", changed(lambda data: data + b"x")
    yield "records_overlap.pth", "damaged", changed(overlapping)
    yield "crowded.pth", "cut short", lambda p: p.write_bytes(b"PK\x03\x04" + crowded)
    yield "big_endian.pth", "little endian", holding(archive__byteorder=b"big")
    yield "large_note.pth", "larger than", holding(archive__byteorder=bytes(2**24 + 1))
    yield "no_pickle.pth", "did not write", lambda p: zipfile.ZipFile(p, "w").writestr("a/b", b"x")


def headers(_: Path) -> Iterator[Hostile]:
    """safetensors whose header does not describe the file."""

    def holding(header: Any, data: bytes = bytes(16), length: int | None = None) -> Callable[[Path], object]:
        return lambda path: path.write_bytes(safetensors(header, data, length))

    def sparse(path: Path) -> None:
        path.write_bytes(struct.pack("<Q", 100 * 2**20) + b"{")
        os.truncate(path, 101 * 2**20)

    entries = json.dumps(entry())
    yield "cut.safetensors", "damaged", lambda p: p.write_bytes(save({"w": torch.zeros(9)})[:-1])
    yield "short.safetensors", "cut short", lambda p: p.write_bytes(b"1234")
    yield "overlap.safetensors", "damaged", holding({"a": entry(), "b": entry()})
    yield "hole.safetensors", "damaged", holding({"a": entry(16, 32)}, bytes(32))
    yield "long_header.safetensors", "cut short", holding({"a": entry()}, length=2**63)
    yield "large_header.safetensors", "larger than", sparse
    yield "dtype.safetensors", "damaged", holding({"a": entry(dtype="F33")})
    yield "shape.safetensors", "damaged", holding({"a": entry(shape=(5,))})
    yield "overflow.safetensors", "damaged", holding({"a": entry(shape=(2**62, 4))})
    yield "negative.safetensors", "damaged", holding({"a": entry(shape=(-4,))})
    yield "offsets.safetensors", "damaged", holding({"a": entry(0, 2**40)})
    yield "twice.safetensors", "twice", holding(f'{{"a":{entries},"a":{entries}}}'.encode())
    yield "deep.safetensors", "damaged", holding(b'{"a":' * 10_000)
    yield "list.safetensors", "not an object", holding([entry()])
    yield "values.safetensors", "larger than", holding(b'{"a":[' + b"0," * 2**20 + b"0]}")
    yield "escape.safetensors", "control characters", holding({"a\x1b[2J": entry()})


def folders(_: Path) -> Iterator[Hostile]:
    """Folders whose index does not describe the shards."""

    def sharded(places: Any, shards: Mapping[str, list[str]], config: str | None = None) -> Callable[[Path], object]:
        def write(folder: Path) -> None:
            folder.mkdir()
            whole = places if isinstance(places, bytes) else json.dumps({"weight_map": places}).encode()
            (folder / "model.safetensors.index.json").write_bytes(whole)
            for name, keys in shards.items():
                save_file({key: torch.zeros(1) for key in keys}, folder / f"{name}.safetensors")
            if config:
                (folder / "config.json").write_text(config)

        return write

    def piped(folder: Path) -> None:
        sharded({"x": "a.safetensors"}, {})(folder)
        os.mkfifo(folder / "a.safetensors")

    a, b = "a.safetensors", "b.safetensors"
    yield "parent", "without a path", sharded({"x": f"../{a}"}, {"a": ["x"]})
    yield "absolute", "without a path", sharded({"x": "/etc/a.safetensors"}, {})
    yield "other_format", "without a path", sharded({"x": "a.pth"}, {})
    yield "missing", "does not exist", sharded({"x": a, "y": b}, {"a": ["x"]})
    yield "lacks", "lacks 'y'", sharded({"x": a, "y": a}, {"a": ["x"]})
    yield "more", "also holds 'y'", sharded({"x": a}, {"a": ["x", "y"]})
    yield "two_shards", "also holds 'x'", sharded({"x": a, "y": b}, {"a": ["x"], "b": ["x", "y"]})
    yield "deep", "damaged", sharded(b'{"weight_map":' + b"[" * 100_000, {})
    yield "list", "not an object", sharded(b"[]", {})
    yield "twice", "twice", sharded(b'{"weight_map":{"x":"a","x":"b"}}', {})
    yield "huge", "larger than", sharded(b" " * (2**23 + 1), {})
    yield "no_map", "weight_map", sharded(b'{"metadata":{}}', {})
    yield "numbers", "weight_map", sharded({"x": 1}, {})
    yield "empty_map", "weight_map", sharded({}, {})
    yield "pipe", "pipe", piped
    yield "config", "damaged", sharded({"x": a}, {"a": ["x"]}, "[" * 100_000)
    yield "folder.pth", "is a folder without", lambda p: p.mkdir()


def files(_: Path) -> Iterator[Hostile]:
    """What is no regular file."""
    yield "dangling.pth", "gone", lambda p: p.symlink_to("nowhere")
    yield "circle.pth", "cannot be read", lambda p: p.symlink_to(p)
    yield "zero.pth", "device", lambda p: p.symlink_to("/dev/zero")
    yield "pipe.pth", "pipe", os.mkfifo
    yield "pipe.safetensors", "pipe", os.mkfifo


FAMILIES = (code, bombs, tensors, zips, headers, folders, files)


def write_all(folder: Path, canary: Path) -> dict[Path, str]:
    """Write every hostile file; path -> word of the sentence that should refuse it."""
    written = {}
    for family in FAMILIES:
        (folder / family.__name__).mkdir(parents=True)
        for name, word, write in family(canary):
            path = folder / family.__name__ / name
            write(path)
            assert path not in written, path
            written[path] = word
    return written

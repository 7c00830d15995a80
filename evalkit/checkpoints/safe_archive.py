"""The zip archive that `torch.save` writes: its structure, checked before anything in it is believed."""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from evalkit.checkpoints.safe_keys import TENSORS_LIMIT, shown
from evalkit.errors import EvalkitError

MAGIC = b"PK\x03\x04"
# Of the pickle (some 150 bytes a tensor) and of the notes beside it; torch reads each of them into memory.
RECORD_LIMIT = 16 * 2**20
DIRECTORY_LIMIT = 8 * 2**20
# End of central directory, its zip64 form, and the locator of the latter: APPNOTE.TXT 6.3.10, 4.3.14 to 4.3.16.
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
ENTRY_MAGIC = b"PK\x01\x02"
LOCAL = struct.Struct("<4s22x2H")  # magic, lengths of name and extra field
HASHED = 2**18  # bytes hashed at a time: as hashlib.file_digest, and small enough to stay in cache for the checksum
ENCRYPTED = 0x1 | 0x40 | 0x2000
# What zipfile raises on damaged archives.
BROKEN_ZIP = (zipfile.BadZipFile, RuntimeError, ValueError, OverflowError, EOFError, struct.error)


@dataclass(frozen=True)
class Archive:
    """What a PyTorch archive holds. pickle: `data.pkl`; storages: key of a storage -> bytes that the file has of it."""

    pickle: bytes
    storages: Mapping[str, int]


def read_archive(path: Path, size: int) -> Archive:
    """Check the archive and read its pickle; no tensor is read. size: bytes of the file.

    Raises EvalkitError where torch's zip reader and Python's could see different things (names that stand twice,
    records that overlap, data behind the end), for compressed or encrypted records, and for what `torch.save` does not
    write.
    """
    with path.open("rb") as file:
        try:
            _check_directory(file, size)
            with zipfile.ZipFile(file) as archive:
                entries, end = archive.infolist(), archive.start_dir
            places = {entry.filename: _place(file, entry) for entry in entries}
        except BROKEN_ZIP as error:
            raise _damaged(path) from error
        _check_entries(entries, path)
        if not _in_order(entries, places, end):
            raise EvalkitError(f"The checkpoint {path} has records that overlap; it is damaged or hostile.")
        return _contents(file, entries, places, path)


def sha256_sound(path: Path) -> str:
    """sha256 (hex) of a file. Raises EvalkitError if it is a PyTorch archive with a record that lost its checksum.

    One pass over the file does both. torch checks no checksum of a file that it maps, so a flipped bit would be a
    weight; older files and safetensors have none. Records that `torch.save` was told to write without (0) are skipped.
    """
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        for start, size, entry in _stretches(file):
            file.seek(start)
            checksum = 0
            for block in _blocks(file, size):
                hashed.update(block)
                checksum = zlib.crc32(block, checksum) if entry is not None else 0
            if entry is not None and checksum != entry.CRC:
                name = shown(entry.filename.partition("/")[2])
                raise EvalkitError(f"The checkpoint {path} is damaged (record '{name}'): copy it again.")
    return hashed.hexdigest()


def _stretches(file: BinaryIO) -> Iterator[tuple[int, int, zipfile.ZipInfo | None]]:
    """(start, bytes, record) of every part of a file in its order; record None for what has no checksum."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    position = 0
    if file.read(len(MAGIC)) == MAGIC:
        with zipfile.ZipFile(file) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
        for entry in (entry for entry in entries if entry.CRC):
            start = _place(file, entry)
            yield position, start - position, None
            yield start, entry.file_size, entry
            position = start + entry.file_size
    yield position, size - position, None


def _blocks(file: BinaryIO, size: int) -> Iterator[memoryview]:
    """The next `size` bytes in blocks, all in one piece of memory."""
    memory = memoryview(bytearray(min(size, HASHED)))
    while size > 0 and (read := file.readinto(memory[: min(size, HASHED)])):  # type: ignore[attr-defined]
        yield memory[:read]
        size -= read


def _check_directory(file: BinaryIO, size: int) -> None:
    """Raise ValueError unless the list of entries is small and stands, without a gap, at the very end."""
    file.seek(max(0, size - END.size - LOCATOR.size - END64.size))
    tail = file.read()
    magic, *_, length, start, comment = END.unpack(tail[-END.size :])
    if magic != b"PK\x05\x06" or comment:
        raise ValueError("no end of central directory")
    end = size - END.size
    if tail[-END.size - LOCATOR.size : -END.size].startswith(b"PK\x06\x07"):
        end -= LOCATOR.size + END64.size
        magic, *_, length, start = END64.unpack(tail[: END64.size])
        if magic != b"PK\x06\x06" or LOCATOR.unpack(tail[END64.size : -END.size])[2] != end:
            raise ValueError("no zip64 end of central directory")
    if start + length != end or length > DIRECTORY_LIMIT:
        raise ValueError("the central directory is out of place")
    file.seek(start)
    if file.read(length).count(ENTRY_MAGIC) > 2 * TENSORS_LIMIT:
        raise ValueError("too many entries")


def _place(file: BinaryIO, entry: zipfile.ZipInfo) -> int:
    """Where the data of an entry begin."""
    file.seek(entry.header_offset)
    magic, name, extra = LOCAL.unpack(file.read(LOCAL.size))
    if magic != MAGIC:
        raise ValueError("no local header")
    return int(entry.header_offset + LOCAL.size + name + extra)


def _check_entries(entries: Sequence[zipfile.ZipInfo], path: Path) -> None:
    if any(entry.flag_bits & ENCRYPTED for entry in entries):
        raise EvalkitError(f"The checkpoint {path} is an encrypted zip; decrypt it, or save it with torch.save.")
    if any(entry.orig_filename.partition("/")[2] == "constants.pkl" for entry in entries):
        raise EvalkitError(
            f"The checkpoint {path} is a TorchScript program, which holds code; save the model's state_dict instead."
        )
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size for entry in entries):
        raise EvalkitError(f"The checkpoint {path} is a compressed zip, not a PyTorch file; save it with torch.save.")
    names = [entry.orig_filename for entry in entries]
    # torch finds records without regard to case.
    if len({name.casefold() for name in names}) < len(names):
        raise EvalkitError(f"The checkpoint {path} has two records of one name; it is damaged or hostile.")
    root = names[0].partition("/")[0] if names else ""
    if any(_strays(name, root) for name in names):
        raise EvalkitError(f"The checkpoint {path} has records outside its own folder; it is damaged or hostile.")


def _strays(name: str, root: str) -> bool:
    parts = name.split("/")
    return (
        parts[0] != root
        or len(parts) < 2
        or any(part in ("", ".", "..") for part in parts)
        or "\\" in name
        or "\0" in name
    )


def _in_order(entries: Sequence[zipfile.ZipInfo], places: Mapping[str, int], end: int) -> bool:
    """True if every entry ends before the next one begins, and the last before the central directory."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    begins = [*(entry.header_offset for entry in ordered[1:]), end]
    return all(places[entry.filename] + entry.file_size <= begin for entry, begin in zip(ordered, begins, strict=True))


def _contents(file: BinaryIO, entries: Sequence[zipfile.ZipInfo], places: Mapping[str, int], path: Path) -> Archive:
    sizes = {entry.filename.partition("/")[2]: entry.file_size for entry in entries}
    if "data.pkl" not in sizes:
        raise EvalkitError(f"The checkpoint {path} is a zip that torch.save did not write; save it with torch.save.")
    if any(size > RECORD_LIMIT for name, size in sizes.items() if not name.startswith("data/")):
        raise EvalkitError(f"The checkpoint {path} has a pickle larger than any model needs; save a plain state dict.")

    def record(name: str) -> bytes:  # by position: torch can be told to leave out the checksums that zipfile asks for
        entry = next(entry for entry in entries if entry.filename.partition("/")[2] == name)
        file.seek(places[entry.filename])
        return file.read(entry.file_size)

    if "byteorder" in sizes and record("byteorder") != b"little":
        raise EvalkitError(f"The checkpoint {path} is not little endian; save it on an ordinary machine.")
    storages = {name.removeprefix("data/"): size for name, size in sizes.items() if name.startswith("data/")}
    return Archive(record("data.pkl"), storages)


def _damaged(path: Path) -> EvalkitError:
    return EvalkitError(f"The checkpoint {path} is cut short or damaged; copy it again.")

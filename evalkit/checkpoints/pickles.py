"""Look into PyTorch files without unpickling them: are they whole, and what would their pickle import?"""

from __future__ import annotations

import pickletools
import re
import zipfile
from pathlib import Path

from evalkit.errors import EvalkitError

ZIP_MAGIC = b"PK\x03\x04"
# A pickle of tensor names and shapes takes kilobytes; more than this is not searched for a name to show.
SEARCHED_BYTES = 16 * 2**20
# What zipfile raises on damaged archives; a changed flag makes it ask for a password (RuntimeError).
BROKEN_ZIP = (zipfile.BadZipFile, RuntimeError, UnicodeDecodeError, EOFError)


def is_archive(path: Path) -> bool:
    """True for the zip format that `torch.save` has written since version 1.6."""
    with path.open("rb") as file:
        return file.read(len(ZIP_MAGIC)) == ZIP_MAGIC


def check_archive(path: Path) -> None:
    """Raise EvalkitError if a zip file was cut, or is compressed: mapped into memory that would read as noise."""
    try:
        with zipfile.ZipFile(path) as archive:
            compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
    except BROKEN_ZIP as error:
        raise EvalkitError(f"The checkpoint {path} is cut short or damaged; copy it again.") from error
    if compressed:
        raise EvalkitError(f"The checkpoint {path} is a compressed zip, not a PyTorch file; save it with torch.save.")


def foreign_globals(path: Path, error: Exception) -> list[str]:
    """Globals ("posix.system") because of which torch refused to unpickle a file; empty if it failed otherwise."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named:
        return [named.group(1)]
    # torch gives up on the first opcode of a newer pickle protocol, before it meets the global.
    return [name for name in _globals(_pickle_of(path)) if not name.startswith(("torch.", "collections.OrderedDict"))]


def _pickle_of(path: Path) -> bytes:
    """The pickle inside a PyTorch file, as far as it is searched; nothing if it is damaged."""
    if not is_archive(path):
        with path.open("rb") as file:
            return file.read(SEARCHED_BYTES)
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(name) as entry:
                return entry.read(SEARCHED_BYTES)
    except (*BROKEN_ZIP, StopIteration):
        return b""


def _globals(pickled: bytes) -> list[str]:
    """What a pickle imports, found by disassembling it; of a damaged pickle, what stands before the damage."""
    found: dict[str, None] = {}
    pushed: list[str] = []  # strings on the stack: STACK_GLOBAL takes module and name from there
    memo: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name in ("GLOBAL", "INST"):
                found[str(argument).replace(" ", ".")] = None
            elif opcode.name == "STACK_GLOBAL" and len(pushed) > 1:
                found[".".join(pushed[-2:])] = None
            elif opcode.name == "MEMOIZE":
                memo.append(pushed[-1] if pushed else "")
            elif opcode.name in ("BINGET", "LONG_BINGET") and int(str(argument)) < len(memo):
                pushed.append(memo[int(str(argument))])
            elif "UNICODE" in opcode.name:
                pushed.append(str(argument))
    except ValueError:
        pass  # genops raises ValueError at the first byte that is no opcode
    return list(found)

"""Check PyTorch files without unpickling them: what would they import, and do they hold what they claim?"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Mapping
from io import BytesIO
from itertools import islice
from pathlib import Path

from evalkit.checkpoints.safe_archive import MAGIC, RECORD_LIMIT, read_archive
from evalkit.checkpoints.safe_calls import Made, Storage, UnsafePickleError
from evalkit.checkpoints.safe_keys import check_count, shown
from evalkit.checkpoints.safe_pickle import (
    OPCODES_LIMIT,
    ForeignGlobalError,
    PickleMachine,
    UnknownOpcodeError,
    is_known,
)
from evalkit.errors import EvalkitError

# What `torch.save` wrote before version 1.6: these two, a description of the machine, the object, and the storages.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
SHOWN = 3


def check_torch_file(path: Path, size: int) -> bool:
    """Check a file of `size` bytes before torch reads it; True for an archive, which torch can map into memory.

    Raises EvalkitError for a file that is damaged, asks for anything but plain tensors and containers, or describes
    tensors that it does not hold.
    """
    with path.open("rb") as file:
        archive = file.read(len(MAGIC)) == MAGIC
    if archive:
        _check_archive(path, size)
    else:
        _check_legacy(path, size)
    return archive


def _check_archive(path: Path, size: int) -> None:
    archive = read_archive(path, size)
    claimed = _storages(path, archive.pickle, legacy=False)[0]
    if any(storage.nbytes > archive.storages.get(key, -1) for key, storage in claimed.items()):
        raise EvalkitError(f"The checkpoint {path} describes tensors that it does not hold; copy or save it again.")


def _check_legacy(path: Path, size: int) -> None:
    with path.open("rb") as file:
        claimed, keys, position = _storages(path, file.read(RECORD_LIMIT), legacy=True)
        whole = sorted(keys) == sorted(claimed)
        for key in keys if whole else ():
            file.seek(position)
            whole = whole and file.read(8) == struct.pack("<q", claimed[key].items)
            position += 8 + claimed[key].nbytes
    if not whole or position != size:
        raise EvalkitError(f"The checkpoint {path} is damaged: it does not hold the tensors that it describes.")


def _storages(path: Path, pickled: bytes, *, legacy: bool) -> tuple[Mapping[str, Storage], list[str], int]:
    """What a pickle claims to store; of a legacy file also the storages' order and where they begin."""
    stream, machine, keys = BytesIO(pickled), PickleMachine(legacy=legacy), []
    try:
        if legacy:
            head = [machine.run(stream) for _ in range(3)]
            if head != [LEGACY_MAGIC, LEGACY_VERSION, Made.DICT]:
                raise UnsafePickleError("is damaged or not what torch.save writes; copy or save it again")
        machine.run(stream)
        if legacy:
            keys = machine.run(stream)
            if type(keys) is not list or any(type(key) is not str for key in keys):
                raise UnsafePickleError("is damaged or not what torch.save writes; copy or save it again")
    except ForeignGlobalError as error:
        raise _refused(path, _foreign(pickled) or [str(error)]) from error
    except UnknownOpcodeError as error:
        foreign = _foreign(pickled)
        raise _refused(path, foreign) if foreign else _unknown(path, pickled, error) from error
    except UnsafePickleError as error:
        raise EvalkitError(f"The checkpoint {path} {error}.") from error
    check_count(len(machine.storages), path)
    return machine.storages, keys, stream.tell()


def _refused(path: Path, foreign: list[str]) -> EvalkitError:
    names = ", ".join(shown(name) for name in foreign[:SHOWN]) + (", ..." if len(foreign) > SHOWN else "")
    return EvalkitError(
        f"The checkpoint {path} is refused: its pickle asks for {names}, which is no plain tensor or container; "
        "nothing was executed. Ask its author for a safetensors file or a plain state dict."
    )


def _unknown(path: Path, pickled: bytes, error: UnknownOpcodeError) -> EvalkitError:
    if pickled[:1] == b"\x80":  # it begins as a binary pickle does
        return EvalkitError(f"The checkpoint {path} {error}; save it with torch.save and no other protocol.")
    return EvalkitError(f"The checkpoint {path} is damaged or not what torch.save writes; copy or save it again.")


def _foreign(pickled: bytes) -> list[str]:
    """What a pickle imports beside tensors, found by disassembling it; of a damaged one, what stands before the damage.

    It is only shown: the pickle was refused before this looks for names.
    """
    found: dict[str, None] = {}
    pushed: list[str] = []  # strings on the stack: STACK_GLOBAL takes module and name from there
    memo: dict[int, str] = {}
    try:
        for opcode, argument, _ in islice(pickletools.genops(pickled), OPCODES_LIMIT):
            if opcode.name in ("GLOBAL", "INST"):
                found[str(argument).replace(" ", ".")] = None
            elif opcode.name == "STACK_GLOBAL" and len(pushed) > 1:
                found[".".join(pushed[-2:])] = None
            elif opcode.name == "MEMOIZE":
                memo[len(memo)] = pushed[-1] if pushed else ""
            elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
                memo[int(str(argument))] = pushed[-1] if pushed else ""
            elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
                pushed.append(memo.get(int(str(argument)), ""))
            elif "UNICODE" in opcode.name or "STRING" in opcode.name:
                pushed.append(str(argument))
            if len(found) > SHOWN:
                break
    except ValueError:
        pass  # genops raises ValueError at the first byte that is no opcode
    return [name for name in found if not is_known(name)]

"""Run a pickle on symbols: what would torch build from it, and does all of it fit into the file?

`torch.load(weights_only=True)` runs no foreign code, yet believes every number that it reads: a storage of terabytes,
a view that repeats one byte a billion times. This machine knows the same opcodes (`torch/_weights_only_unpickler.py`,
version 2.11) and builds nothing but tuples and lists of symbols. What it does not know is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from io import BytesIO
from typing import Any

from evalkit.checkpoints.safe_calls import (
    CALLS,
    DICTS,
    ITEM_SIZES,
    STORAGE_SIZES,
    Global,
    Made,
    Storage,
    UnsafePickleError,
)

OPCODES_LIMIT = 2**21
# A tensor takes eight: its storage, two of its shape, its hooks, the calls and their arguments.
OBJECTS_LIMIT = 2**18
# Larger integers could be chosen to share one hash, which makes a dict quadratic.
LARGEST_KEY = 2**31

# Tensors of these kinds do not lie in memory as their shape says.
NOT_DENSE = ("sparse", "qtensor", "nested", "meta_tensor", "wrapper_subclass", ".Q", ".q")


class ForeignGlobalError(UnsafePickleError):
    """The pickle asks for something that is neither a plain tensor nor a plain container."""


class UnknownOpcodeError(UnsafePickleError):
    """The pickle uses an opcode that torch's safe reader does not know."""


class PickleMachine:
    """Runs one pickle after the other; `storages` collects what they claim. legacy: the format before torch 1.6."""

    def __init__(self, *, legacy: bool) -> None:
        self.storages: dict[str, Storage] = {}
        self._legacy = legacy
        self._opcodes = 0
        self._objects = 0

    def run(self, stream: BytesIO) -> Any:
        """What the next pickle of a stream makes, as a symbol. Raises UnsafePickleError, or one of its kinds."""
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                self._opcodes += 1
                if self._opcodes > OPCODES_LIMIT or self._objects > OBJECTS_LIMIT:
                    raise UnsafePickleError("has more objects in its pickle than any model; save a plain state dict")
                self._step(opcode.name, argument)
            return self._stack.pop()
        except (ValueError, IndexError, KeyError, TypeError) as error:
            raise UnsafePickleError("is damaged or not what torch.save writes; copy or save it again") from error

    def _step(self, name: str, argument: Any) -> None:
        if name in PUSHES:
            self._stack.append(PUSHES[name](argument))
        elif name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._stack[-1]
        elif name in STEPS:
            STEPS[name](self)
        elif name == "PROTO" and argument not in (2, 3):
            raise UnknownOpcodeError(f"is refused: it is a pickle of protocol {argument}, torch.save writes protocol 2")
        elif name not in ("PROTO", "STOP"):
            raise UnknownOpcodeError(f"is refused: its pickle uses the opcode {name}, which torch.save does not write")
        self._objects += name in COUNTED

    def _mark(self) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def _pop_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _tuple(self) -> None:
        items = self._pop_mark()
        self._stack.append(tuple(items))

    def _pop_tuple(self, length: int) -> None:
        items = self._stack[-length:]
        if len(items) != length:
            raise IndexError
        self._stack[-length:] = [tuple(items)]

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise TypeError
        target.extend(items)

    def _set(self, items: list[Any]) -> None:
        if self._stack[-1] not in DICTS or len(items) % 2:
            raise TypeError
        for key in items[::2]:
            if type(key) not in (str, int, bool, type(None)) or (type(key) is int and abs(key) > LARGEST_KEY):
                raise UnsafePickleError("has a dict whose keys are no names or small numbers; save a plain state dict")

    def _pop_set(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def _build(self) -> None:
        # The `_metadata` of a state dict.
        self._stack.pop()
        if self._stack[-1] is not Made.ORDERED_DICT:
            raise TypeError

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if type(arguments) is not tuple or type(function) is not Global or function.name not in CALLS:
            raise UnsafePickleError(
                "is refused: its pickle calls what is no plain tensor or container; save it with torch.save"
            )
        self._stack.append(CALLS[function.name](*arguments))

    def _persistent(self) -> None:
        kind, storage, key, location, items, *view = self._stack.pop()
        if kind != "storage" or type(storage) is not Global or type(key) is not str or type(location) is not str:
            raise TypeError
        if type(items) is not int or view != ([None] if self._legacy else []):
            raise TypeError
        if not 0 <= items < 2**63:
            raise UnsafePickleError("holds a tensor of a negative size; it is damaged or hostile")
        found = Storage(key, storage.name, items)
        if storage.name not in STORAGE_SIZES or self.storages.setdefault(key, found) != found:
            raise UnsafePickleError("describes one storage in two ways; it is damaged or hostile")
        self._stack.append(found)


def is_known(name: str) -> bool:
    """True for what a plain state dict imports: "torch.float32"."""
    return name in STORAGE_SIZES or name in ITEM_SIZES or name in CALLS


def _global(argument: str) -> Global:
    name = argument.replace(" ", ".")
    if is_known(name):
        return Global(name)
    if name.startswith("torch.") and any(word in name for word in NOT_DENSE):
        raise UnsafePickleError(f"holds a tensor that is not dense (its pickle asks for {name}); save it dense")
    raise ForeignGlobalError(name)


def _ascii(argument: str) -> str:
    if not argument.isascii():  # torch and pickletools decode such bytes differently
        raise ValueError
    return argument


PUSHES: dict[str, Callable[[Any], Any]] = {
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: Made.DICT,
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    "GLOBAL": _global,
    "SHORT_BINSTRING": _ascii,
} | dict.fromkeys(("BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE", "LONG1"), lambda argument: argument)
STEPS: dict[str, Callable[[PickleMachine], None]] = {
    "MARK": PickleMachine._mark,
    "TUPLE": PickleMachine._tuple,
    "TUPLE1": lambda machine: machine._pop_tuple(1),
    "TUPLE2": lambda machine: machine._pop_tuple(2),
    "TUPLE3": lambda machine: machine._pop_tuple(3),
    "APPEND": lambda machine: machine._extend([machine._stack.pop()]),
    "APPENDS": lambda machine: machine._extend(machine._pop_mark()),
    "SETITEM": PickleMachine._pop_set,
    "SETITEMS": lambda machine: machine._set(machine._pop_mark()),
    "BUILD": PickleMachine._build,
    "REDUCE": PickleMachine._reduce,
    "BINPERSID": PickleMachine._persistent,
}
COUNTED = {"EMPTY_DICT", "EMPTY_LIST", "MARK", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "REDUCE", "BINPERSID", "LONG1"}

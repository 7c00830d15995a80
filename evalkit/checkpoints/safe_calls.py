"""What torch would make of the calls in a pickle, told from symbols, and whether it fits into the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import torch

DIMENSIONS_LIMIT = 64

UNTYPED = "torch.storage.UntypedStorage"
_STORAGES = {
    "BFloat16": "bfloat16", "Bool": "bool", "Byte": "uint8", "Char": "int8", "ComplexDouble": "complex128",
    "ComplexFloat": "complex64", "Double": "float64", "Float": "float32", "Half": "float16", "Int": "int32",
    "Long": "int64", "Short": "int16",
}  # fmt: skip
# Those without a storage class of their own are stored as bytes.
_STORED_AS_BYTES = (
    "uint16", "uint32", "uint64", "complex32", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz",
    "float8_e8m0fnu",
)  # fmt: skip
ITEM_SIZES: dict[str, int] = {
    f"torch.{name}": getattr(torch, name).itemsize
    for name in (*_STORAGES.values(), *_STORED_AS_BYTES)
    if hasattr(torch, name)
}
STORAGE_SIZES = {f"torch.{name}Storage": ITEM_SIZES[f"torch.{dtype}"] for name, dtype in _STORAGES.items()} | {
    UNTYPED: 1
}


class UnsafePickleError(Exception):
    """The pickle is refused; the message completes "The checkpoint X ..."."""


class Made(Enum):
    """What the machine builds where the contents do not matter."""

    DICT = auto()
    ORDERED_DICT = auto()
    COUNTER = auto()
    TENSOR = auto()
    PLAIN = auto()  # bytes, a shape, a device


@dataclass(frozen=True)
class Global:
    """A name that the pickle imports ("torch.float32")."""

    name: str


@dataclass(frozen=True)
class Storage:
    """The memory of tensors: its key in the file, the name of its class, and how many items it claims to have."""

    key: str
    kind: str
    items: int

    @property
    def nbytes(self) -> int:
        return self.items * STORAGE_SIZES[self.kind]


DICTS = (Made.DICT, Made.ORDERED_DICT, Made.COUNTER)


def _tensor_v2(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    gradient: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> Made:
    if type(storage) is not Storage or storage.kind == UNTYPED:
        raise TypeError
    if metadata is not None:
        raise UnsafePickleError("holds a tensor that is only marked as conjugated or negated; save a plain copy of it")
    return _tensor(storage, STORAGE_SIZES[storage.kind], offset, size, stride, gradient, hooks)


def _tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, gradient: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> Made:
    if type(storage) is not Storage or type(dtype) is not Global or metadata is not None:
        raise TypeError
    return _tensor(storage, ITEM_SIZES[dtype.name], offset, size, stride, gradient, hooks)


def _tensor(storage: Storage, item_size: int, offset: Any, size: Any, stride: Any, gradient: Any, hooks: Any) -> Made:
    """Check that the items of a view lie inside its storage and are not more than it has room for."""
    if type(size) is not tuple or type(stride) is not tuple or type(gradient) is not bool:
        raise TypeError
    if hooks not in (None, Made.ORDERED_DICT) or len(size) != len(stride) or len(size) > DIMENSIONS_LIMIT:
        raise TypeError
    numbers = (offset, *size, *stride)
    if any(type(number) is not int for number in numbers):
        raise TypeError
    if any(not 0 <= number < 2**63 for number in numbers):
        raise UnsafePickleError("holds a tensor of a negative size; it is damaged or hostile")
    count = 1
    for length in size:
        count *= length
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) if count else -1
    if count * item_size > storage.nbytes or (last + 1) * item_size > storage.nbytes:
        raise UnsafePickleError(
            f"holds a tensor of shape {list(size)[:8]} that claims more numbers than are stored for it; "
            "store a contiguous copy of it, if the file is yours"
        )
    return Made.TENSOR


def _parameter(data: Any, gradient: Any, hooks: Any) -> Made:
    if data is not Made.TENSOR or type(gradient) is not bool or hooks is not Made.ORDERED_DICT:
        raise TypeError
    return Made.TENSOR


def _counter(counts: Any = Made.DICT) -> Made:
    if counts not in DICTS:
        raise TypeError
    return Made.COUNTER


def _size(numbers: Any) -> Made:
    if type(numbers) is not tuple or any(type(number) is not int for number in numbers):
        raise TypeError
    return Made.PLAIN


def _device(kind: Any, index: Any = 0) -> Made:
    if type(kind) is not str or type(index) is not int:
        raise TypeError
    return Made.PLAIN


def _bytes(text: Any, encoding: Any) -> Made:
    if type(text) is not str or encoding != "latin1":
        raise TypeError
    return Made.PLAIN


def _ordered_dict(*arguments: Any) -> Made:
    if arguments:
        raise TypeError
    return Made.ORDERED_DICT


# Global -> what its call makes of symbols; TypeError for arguments that torch.save does not write.
CALLS: dict[str, Callable[..., Made]] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.Counter": _counter,
    "_codecs.encode": _bytes,
    "torch.Size": _size,
    "torch.device": _device,
    "torch._utils._rebuild_tensor": _tensor_v2,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
}

"""Give back the memory of a mapped file's pages once they were read.

Pages of a mapped file count as a process' memory until the kernel wants them back. A merge reads every page once;
letting go of them keeps its peak near the size of the result.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor


@dataclass(frozen=True)
class MappedFiles:
    """The address ranges at which files are mapped; on other systems than Linux none, and nothing is released."""

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, paths: Iterable[Path]) -> MappedFiles:
        """Where the files are mapped now; what is mapped later is not seen."""
        wanted = {str(path.resolve()) for path in paths}
        maps = Path("/proc/self/maps")
        if not sys.platform.startswith("linux") or not maps.exists():
            return cls(())
        found = []
        for line in maps.read_text(errors="surrogateescape").splitlines():
            addresses, *_, inode, name = [*line.split(maxsplit=5), ""][:6]
            if name in wanted and inode != "0":
                start, _, end = addresses.partition("-")
                found.append((int(start, 16), int(end, 16)))
        return cls(tuple(found))

    def release(self, tensor: Tensor) -> None:
        """Let go of the pages that hold a tensor. They are read again from the file if it is used again.

        Only pages of the files themselves: memory that belongs to nothing else would be lost. Nothing may have been
        written into the tensor.
        """
        start = tensor.data_ptr()
        end = start + tensor.numel() * tensor.element_size()
        if not any(low <= start and end <= high for low, high in self.ranges):
            return
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE  # whole pages only: the neighbours' stay
        last = end // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first:
            # A refusal only means that the memory is kept.
            _libc().madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), ctypes.c_int(mmap.MADV_DONTNEED))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)

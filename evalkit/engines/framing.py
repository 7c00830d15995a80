"""Messages between evalkit and an engine's worker: a JSON header and raw float32 audio, over a pair of pipes."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

LARGEST = 2**31  # bytes of one part; more is not a message but noise on the pipe
_LENGTH = struct.Struct(">I")


class ChannelClosedError(Exception):
    """The other end is gone."""


class Channel:
    """One end of a pair of pipes. A message is a header (JSON) and any number of clips (float32 [samples]).

    On the wire: 4 bytes, the header's length; the header, in which "clips" lists the clips' lengths in samples; the
    clips, little-endian, one after the other.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing

    def send(self, header: Mapping[str, Any], clips: Sequence[Tensor] = ()) -> None:
        """Raises ChannelClosedError when nobody reads any more."""
        arrays = [clip.detach().to("cpu", torch.float32).contiguous().numpy() for clip in clips]
        text = json.dumps({**header, "clips": [len(array) for array in arrays]}).encode()
        try:
            self._write(_LENGTH.pack(len(text)) + text)
            for array in arrays:
                self._write(array.astype("<f4", copy=False).tobytes())
        except (BrokenPipeError, OSError) as error:
            raise ChannelClosedError from error

    def receive(self, limit_s: float | None = None) -> tuple[dict[str, Any], list[Tensor]]:
        """The next message. Raises ChannelClosedError at its end, TimeoutError when it is not whole after `limit_s`."""
        deadline = None if limit_s is None else time.monotonic() + limit_s
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, deadline))
        header = json.loads(self._read(length, deadline))
        clips = [
            torch.from_numpy(np.frombuffer(self._read(4 * samples, deadline), dtype="<f4").astype(np.float32))
            for samples in header.pop("clips")
        ]
        return header, clips

    def close(self) -> None:
        for descriptor in (self._reading, self._writing):
            with suppress(OSError):  # closed before
                os.close(descriptor)

    def _write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._writing, rest) :]

    def _read(self, count: int, deadline: float | None) -> bytearray:
        if count > LARGEST:
            raise ChannelClosedError(f"a message of {count} bytes")
        data = bytearray(count)
        view, filled = memoryview(data), 0
        while filled < count:
            if deadline is not None:
                ready, _, _ = select.select([self._reading], [], [], max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise TimeoutError
            got = os.readv(self._reading, [view[filled:]])
            if not got:
                raise ChannelClosedError
            filled += got
        return data

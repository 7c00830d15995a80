"""A body that arrives in pieces, as audio in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from evalkit.engines.audio.reading import WavHeader, from_pcm16, read_clip, wav_header
from evalkit.errors import EvalkitError


class Decoder:
    """Bytes in, mono float32 [samples] out. rate: Hz, known after the first chunk.

    form: "pcm", little-endian 16 bit of one channel at pcm_rate, or "wav"; a WAV of another encoding than 16 bit comes
    as one chunk at the end. Raises EvalkitError for what is not audio and for a WAV cut short.
    """

    def __init__(self, form: str, pcm_rate: int) -> None:
        self._wav = form == "wav"
        self.rate = 0 if self._wav else pcm_rate

    def chunks(self, pieces: Iterable[bytes]) -> Iterator[Tensor]:
        """Chunks with at least one sample each."""
        iterator = iter(pieces)
        if not self._wav:
            yield from self._samples(iterator, b"", 1, None)
            return
        head = b""
        header: WavHeader | None = None
        while header is None:
            piece = next(iterator, b"")
            head += piece
            header = wav_header(head)
            if header is None and not piece:
                header_is_cut = "is empty" if not head else "is cut short within its header"
                raise EvalkitError(f"The WAV {header_is_cut}.")
        if not header.is_pcm16:
            audio, self.rate = read_clip(head + b"".join(iterator))
            yield audio
            return
        self.rate = header.rate
        yield from self._samples(iterator, head[header.start :], header.channels, header.size)

    def _samples(self, pieces: Iterator[bytes], rest: bytes, channels: int, size: int | None) -> Iterator[Tensor]:
        frame, got = 2 * channels, 0
        while True:
            wanted = len(rest) if size is None else min(len(rest), size - got)  # other parts may follow the samples
            whole = wanted - wanted % frame
            if whole:
                yield from_pcm16(rest[:whole], channels)
                rest, got = rest[whole:], got + whole
            piece = next(pieces, b"")
            if not piece:
                break
            rest += piece
        if size is not None and got < size:
            raise EvalkitError(f"The WAV is cut short: it announces {size} bytes of samples and has {got}.")
        if size is None and rest:
            raise EvalkitError(f"The audio is cut short: {len(rest)} bytes are left over at its end.")
        if not got:
            raise EvalkitError("The audio holds no samples.")

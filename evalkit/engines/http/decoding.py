"""A body that arrives in pieces, as audio in pieces."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain

from torch import Tensor

from evalkit.checkpoints.safe_keys import shown
from evalkit.engines.audio.reading import WavHeader, check_rate, from_pcm16, read_clip, wav_header
from evalkit.errors import EvalkitError

SAID = 200  # characters of a server's message in a sentence
HEAD = 16  # bytes by which what is no PCM is told from PCM
_CONTAINERS = {b"RIFF": "a WAV", b"ID3": "an MP3", b"OggS": "an Ogg file", b"fLaC": "a FLAC file"}


def is_text(head: bytes) -> bool:
    """Whether a body that begins so is JSON, HTML or a sentence: UTF-8 without control characters, and no WAV.

    PCM hardly ever is: eight samples would all have to be loud.
    """
    if head.startswith(b"RIFF"):
        return False
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head[:HEAD])  # a character may be cut
    except UnicodeDecodeError:
        return False
    return bool(text) and all(letter.isprintable() or letter in "\t\r\n" for letter in text)


class Decoder:
    """Bytes in, mono float32 [samples] out. rate: Hz, known after the first chunk.

    form: "pcm", little-endian 16 bit of one channel at pcm_rate, or "wav"; a WAV of another encoding than 16 bit comes
    as one chunk at the end. Raises EvalkitError for what is not audio, for a WAV where PCM was asked for, and for a WAV
    cut short.
    """

    def __init__(self, form: str, pcm_rate: int) -> None:
        self._wav = form == "wav"
        self.rate = 0 if self._wav else pcm_rate

    def chunks(self, pieces: Iterable[bytes]) -> Iterator[Tensor]:
        """Chunks with at least one sample each."""
        iterator = _checked(iter(pieces), "wav" if self._wav else "pcm")
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
        check_rate(header.rate)
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


def _checked(pieces: Iterator[bytes], asked_for: str) -> Iterator[bytes]:
    """The same body. Raises EvalkitError if it begins as text, or as another format where PCM was asked for, which
    would be heard as noise."""
    head = b""
    while len(head) < HEAD and (piece := next(pieces, b"")):
        head += piece
    if is_text(head) and (asked_for == "wav" or head.startswith((b"{", b"<"))):
        raise EvalkitError(f"The server sent text instead of audio: {shown(head.decode('utf-8', 'replace'), SAID)}")
    if asked_for == "pcm":
        for magic, name in _CONTAINERS.items():
            if head.startswith(magic):
                raise EvalkitError(f"The server sent {name} instead of PCM: let it send what it was asked for.")
    return chain([head], pieces)

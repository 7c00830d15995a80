"""What a program, a server or a folder gives as audio, as mono float32."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evalkit.checkpoints.safe_keys import shown
from evalkit.errors import EvalkitError

LARGEST = 2**29  # bytes of one clip: an hour and a half of 48 kHz; more is a mistake
HEADER_LIMIT = 2**16  # bytes before the samples of a WAV
LOWEST_RATE, HIGHEST_RATE = 4000, 384000  # Hz: half a telephone's, and the most that anything records

# Who writes a WAV into a pipe does not know its length: 0 or a number near the largest of 31 or 32 bits stands there.
_UNKNOWN_FROM = 0x7F000000
_PCM, _EXTENSIBLE = 1, 0xFFFE


@dataclass(frozen=True)
class WavHeader:
    """The header of a WAV. start: offset of the first sample; size: bytes of samples, None where it was not known."""

    encoding: int
    channels: int
    rate: int  # Hz
    bits: int
    start: int
    size: int | None

    @property
    def is_pcm16(self) -> bool:
        return self.encoding == _PCM and self.bits == 16


def wav_header(data: bytes, limit: int = HEADER_LIMIT) -> WavHeader | None:
    """Read a WAV's header off its first bytes, None if there are too few of them. limit: bytes that it may have.

    Raises EvalkitError if it is another format or has no channels. Source: Microsoft, Multimedia Programming
    Interface 1.0, "RIFF".
    """
    if len(data) >= 12 and (data[:4] != b"RIFF" or data[8:12] != b"WAVE"):
        raise EvalkitError("It is not a WAV (no RIFF header): let it be written as 16-bit WAV.")
    place, form = 12, None
    while len(data) >= place + 8:
        name, size = struct.unpack_from("<4sI", data, place)
        if name == b"data" and form is not None:
            return WavHeader(*form, place + 8, None if size == 0 or size >= _UNKNOWN_FROM else size)
        if name == b"fmt " and len(data) >= place + 8 + 16 <= place + 8 + size:
            encoding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, place + 8)
            if encoding == _EXTENSIBLE and size >= 26 and len(data) >= place + 34:
                encoding = struct.unpack_from("<H", data, place + 32)[0]
            if not channels:
                raise EvalkitError("It is a damaged WAV (its header says 0 channels): write it again.")
            form = (encoding, channels, rate, bits)
        place += 8 + size + size % 2
        if place > limit:
            raise EvalkitError("It is a damaged WAV (no samples after its header): write it again.")
    return None


def read_clip(data: bytes) -> tuple[Tensor, int]:
    """Any format that libsndfile knows -> mono float32 [samples] and its rate in Hz; several channels are averaged.

    Raises EvalkitError for what is not audio, for a WAV cut short, for a file without samples and for a rate that
    speech does not have.
    """
    import soundfile

    if not data:
        raise EvalkitError("The audio is empty: no byte was written.")
    try:
        samples, rate = soundfile.read(io.BytesIO(whole(data)), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        said = shown(getattr(error, "error_string", error)).rstrip(".")
        raise EvalkitError(f"It cannot be read as audio ({said}): write a 16-bit WAV.") from error
    if not len(samples):
        raise EvalkitError("The audio holds no samples.")
    check_rate(int(rate))
    return torch.from_numpy(samples.mean(axis=1)), int(rate)


def check_rate(rate: int) -> None:
    """Raises EvalkitError for a sample rate that no metric could work with, nor FLAC keep."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise EvalkitError(f"The audio has {rate} Hz, and speech has {LOWEST_RATE} to {HIGHEST_RATE} Hz: resample it.")


def whole(data: bytes) -> bytes:
    """The same WAV with its length in the header, where it was not known; other formats as they are.

    Raises EvalkitError for a WAV cut short, of which libsndfile reads what is there without a word.
    """
    if data[:4] != b"RIFF":
        return data
    header = wav_header(data, limit=LARGEST)
    if header is None:
        raise EvalkitError("The WAV is cut short within its header: write it again.")
    there = len(data) - header.start
    if header.size is None:
        return (
            data[:4]
            + struct.pack("<I", len(data) - 8)
            + data[8 : header.start - 4]
            + struct.pack("<I", there)
            + (data[header.start :])
        )
    if there < header.size:
        raise EvalkitError(f"The WAV is cut short: it announces {header.size} bytes of samples and has {there}.")
    return data


def from_pcm16(data: bytes, channels: int = 1) -> Tensor:
    """Little-endian 16-bit samples -> mono float32 [samples]; the length must be whole samples of all channels."""
    samples = np.frombuffer(data, dtype="<i2").astype(np.float32).reshape(-1, channels).mean(axis=1) / 32768.0
    return torch.from_numpy(samples)

"""audio: clips that were made elsewhere, as if an engine had spoken them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from evalkit.engines.audio.reading import LARGEST, read_clip
from evalkit.engines.base import EngineSpec, Request, Setup, Speech, Voice
from evalkit.errors import EvalkitError, some
from evalkit.files import AUDIO_SUFFIXES, audio_files, sha256_file
from metrics.options import Option

FOLDER = Option("", "the folder with a file for every utterance: in-001.wav, or in-001.r0.wav with the repeat's number")


class Audio:
    """Speaks by reading a file: `<item id>.<suffix>` for the first repeat, `<item id>.r<repeat>.<suffix>` for any.

    An item without a file has the status "failed" and counts against coverage. Files in folders below are named by
    their path, "in/001.wav" is "in-001", as `evalkit score` has it.
    """

    spec = EngineSpec(
        name="audio",
        version="1",
        layouts=(),
        sample_rate=0,  # of the files, once the folder is known
        front_end="unknown: the clips were made elsewhere",
        options={"folder": FOLDER},
        batch_exact=True,
        timed=False,
        weights="none",
        argument="folder",
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._files: dict[str, Path] | None = None
        self._identity: dict[str, str] = {}

    def set_up(self, setup: Setup) -> None:
        """Find the files. Raises EvalkitError for a folder without audio, an id used twice, or several sample rates."""
        named = str(setup.options.get("folder", ""))
        if not named.strip():
            raise EvalkitError("Say which folder holds the clips: --engine 'audio: my-clips/'.")
        folder = Path(named.strip()).expanduser()
        if not folder.is_dir():
            raise EvalkitError(f"There is no folder {folder}: --engine 'audio: FOLDER' takes one with a file per item.")
        files = _by_id(folder)
        if not files:
            raise EvalkitError(
                f"{folder} holds no audio ({', '.join(AUDIO_SUFFIXES)}): name the folder with the clips."
            )
        self.spec = replace(self.spec, sample_rate=_only_rate(folder, files))
        self._identity = {"folder": folder.resolve().name, "files": str(len(files)), "sha256": _digest(files)}
        self._files = files

    @property
    def identity(self) -> Mapping[str, str]:
        """What was heard: the folder's name, how many files, and sha256 over their ids and contents."""
        return self._identity

    def load(self, weights: Mapping[str, Tensor]) -> str:
        raise EvalkitError("The engine 'audio' takes no checkpoint: its clips exist already.")

    def weights(self) -> Mapping[str, Tensor]:
        return {}

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        raise EvalkitError("The engine 'audio' takes no voice: its clips exist already.")

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        """The clips of the requests' ids. No time is given, since nothing was synthesised."""
        if self._files is None:
            raise EvalkitError("The engine 'audio' has no folder yet: call set_up first.")
        return [self._speak(request, self._files) for request in requests]

    def _speak(self, request: Request, files: Mapping[str, Path]) -> Speech:
        item, first = re.subn(r"\.r0$", "", request.id)
        path = files.get(request.id) or (files.get(item) if first else None)
        if path is None:
            return Speech(request.id, status="failed", reason=f"There is no file for {request.id}.")
        try:
            size = path.stat().st_size
            if size > LARGEST:
                raise EvalkitError(f"It has {size} bytes; {LARGEST} is the most that is read.")
            audio, rate = read_clip(path.read_bytes())
        except (EvalkitError, OSError) as error:
            return Speech(request.id, status="failed", reason=f"{path.name}: {error}")
        if rate != self.spec.sample_rate:
            reason = f"{path.name} has {rate} Hz and the other clips {self.spec.sample_rate} Hz."
            return Speech(request.id, status="failed", reason=reason)
        return Speech(request.id, audio.to(self.device), details={"file": path.name})


def _by_id(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in audio_files(folder):
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.relative_to(folder).with_suffix("").as_posix())
        if name in found:
            raise EvalkitError(f"Two files in {folder} are for '{name}' ({found[name].name}, {path.name}): remove one.")
        found[name] = path
    return found


def _only_rate(folder: Path, files: Mapping[str, Path]) -> int:
    """The rate in Hz that all readable files have."""
    import soundfile

    rates: dict[int, str] = {}
    for path in files.values():
        try:
            rates.setdefault(int(soundfile.info(os.fspath(path)).samplerate), path.name)
        except (soundfile.LibsndfileError, RuntimeError):
            continue  # gets its status when it is its turn
    if not rates:
        raise EvalkitError(f"No file in {folder} can be read as audio: give WAV, FLAC, OGG or MP3 files.")
    if len(rates) > 1:
        listed = some([f"{name} {rate} Hz" for rate, name in sorted(rates.items())])
        raise EvalkitError(f"The clips in {folder} have several sample rates ({listed}): resample them to one.")
    return next(iter(rates))


def _digest(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name} {sha256_file(path)}\n".encode())
    return digest.hexdigest()

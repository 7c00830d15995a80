"""A CosyVoice out of a source checkout and a model folder, with as little done to the process as can be."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evalkit.checkpoints.safe_keys import shown
from evalkit.errors import EvalkitError

CONFIGURATIONS = ("cosyvoice.yaml", "cosyvoice2.yaml", "cosyvoice3.yaml")  # as `cli/cosyvoice.py:AutoModel` looks
FILES = ("llm.pt", "flow.pt", "hift.pt", "campplus.onnx")
SAID = 300


def build(source: Path, model_dir: Path) -> Any:
    """An instance of CosyVoice, CosyVoice2 or CosyVoice3, whichever the folder's YAML is for.

    The YAML is run: it names classes to make and functions to call. Raises EvalkitError if the checkout or the folder
    is incomplete, and if CosyVoice cannot be imported or made.
    """
    _check_folders(source, model_dir)
    for place in (source / "third_party" / "Matcha-TTS", source):
        if str(place) not in sys.path:
            sys.path.insert(0, str(place))
    if importlib.util.find_spec("matcha") is None:
        raise EvalkitError(
            f"{source / 'third_party' / 'Matcha-TTS'} is empty: run git submodule update --init in {source}."
        )
    with _kept_state():
        try:
            with _nothing_downloaded():
                module = importlib.import_module("cosyvoice.cli.cosyvoice")
                module.tqdm = iter  # type: ignore[attr-defined]  # a bar for every sentence
                return module.AutoModel(model_dir=str(model_dir))
        except ImportError as error:
            raise EvalkitError(
                f"CosyVoice does not import from {source} ({shown(error, SAID)}): install its requirements in the "
                "Python that runs it, and name that one with --set python=PATH."
            ) from error
        except Exception as error:
            raise EvalkitError(
                f"CosyVoice cannot be made from {model_dir}: {type(error).__name__}: {shown(error, SAID)}"
            ) from error


def _check_folders(source: Path, model_dir: Path) -> None:
    if not (source / "cosyvoice" / "cli" / "cosyvoice.py").is_file():
        raise EvalkitError(
            f"{source} is no checkout of CosyVoice (no cosyvoice/cli/cosyvoice.py): --set source=FOLDER."
        )
    if not any((model_dir / name).is_file() for name in CONFIGURATIONS):
        raise EvalkitError(
            f"{model_dir} is no model folder of CosyVoice (no {', '.join(CONFIGURATIONS)}): --set model_dir=FOLDER."
        )
    if missing := [name for name in FILES if not (model_dir / name).is_file()]:
        raise EvalkitError(f"The model folder {model_dir} has no {', '.join(missing)}: download it whole.")


@contextmanager
def _kept_state() -> Iterator[None]:
    """Random states and logging as they were: the YAML seeds all three, and `utils/file_utils.py` logs everything."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        root.setLevel(level)
        root.handlers[:] = handlers


@contextmanager
def _nothing_downloaded() -> Iterator[None]:
    """wetext gets its grammars from ModelScope when it is made; here it finds them on disk or goes without."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    modelscope = importlib.import_module("modelscope")
    download = modelscope.snapshot_download
    modelscope.snapshot_download = functools.partial(download, local_files_only=True)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        modelscope.snapshot_download = download  # type: ignore[attr-defined]

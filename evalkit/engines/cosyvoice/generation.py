"""Generating with CosyVoice without its traps: seeds, hops, and language models that fail in a thread."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class Generation:
    """Watches the model of a CosyVoice (`cli/model.py`), whose language model runs in a thread of its own.

    CosyVoice does not notice when that thread fails: what it had made by then is spoken as if it were all, and a
    stream waits for the rest without end. Nor does it tell whether the text came to its end or the limit of tokens
    did. One generation at a time.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._first_hop = getattr(model, "token_hop_len", None)
        self._ratio = inspect.signature(model.llm.inference).parameters["max_token_text_ratio"].default
        self._job, self._inference = model.llm_job, model.llm.inference
        self._cancelled = threading.Event()
        self._running = threading.Lock()
        self.error: BaseException | None = None
        self.truncated = False
        self.ended_at_once = False
        self.tokens = 0
        model.llm_job, model.llm.inference = self._watched_job, self._watched_inference

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """One request: the global random state is the seed's within, and what it was before afterwards.

        CosyVoice draws from nothing else (`utils/common.py:138-166`, `hifigan/generator.py:157-189`). Streaming, the
        language model and the vocoder draw at the same time, so that a stream is not the same twice.
        """
        model = self._model
        self.error, self.truncated, self.ended_at_once, self.tokens = None, False, False, 0
        if self._first_hop is not None:
            # `cli/model.py:360` doubles it with every chunk and never sets it back: the first chunk of all later
            # requests would come late.
            model.token_hop_len = self._first_hop
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            try:
                yield
            finally:
                self._cancelled.set()  # of a stream that is left early: its thread would go on drawing
                with self._running:
                    self._cancelled.clear()
                self._forget()

    def _forget(self) -> None:
        """Drop what CosyVoice keeps of a request that did not come to its end (`cli/model.py`, `*_dict`)."""
        for name, kept in vars(self._model).items():
            if name.endswith("_dict") and isinstance(kept, dict):
                kept.clear()

    def _watched_job(self, *arguments: Any) -> None:
        with self._running:
            try:
                self._job(*arguments)
            except BaseException as error:  # nobody waits for this thread's exception
                self.error = error
            finally:
                self._model.llm_end_dict[arguments[-1]] = True

    def _watched_inference(self, **given: Any) -> Iterator[Any]:
        limit = int(int(given["text_len"]) * self._ratio)  # before the call: it adds the prompt's length in place
        count = 0
        for token in self._inference(**given):
            count += 1
            if self._cancelled.is_set():
                return
            yield token
        self.tokens += count
        self.truncated |= count >= limit
        self.ended_at_once |= count == 0


def chunks(tts: Any, text: str, speaker: str, options: Mapping[str, Any], stream: bool) -> Iterator[Tensor]:
    """float32 [samples] on the CPU, one chunk per part of the text, or as a stream has them."""
    for made in tts.inference_zero_shot(
        text,
        "",
        "",
        zero_shot_spk_id=speaker,
        stream=stream,
        speed=float(options["speed"]),
        text_frontend=bool(options["text_frontend"]),
    ):
        yield made["tts_speech"].detach().squeeze(0).float().cpu()

"""neutts: a NeuTTS backbone on torch, many sentences at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from evalkit.engines.base import Asset, EngineSpec, Environment, Example, Layout, Request, Setup, Speech, Voice
from evalkit.engines.neutts.codec import SAMPLE_RATE
from evalkit.engines.neutts.settings import CODEC, OPTIONS, VOICE, W2V_BERT
from evalkit.engines.neutts.voices import is_codes, read_voice
from evalkit.errors import EvalkitError
from metrics.options import Option

if TYPE_CHECKING:
    from evalkit.engines.neutts.system import System

_ROUNDED = "The weights were rounded to bfloat16, in which neutts runs its backbones; --set dtype=float32 keeps them."


class NeuTTS:
    """Speaks through a Hugging Face causal language model and NeuCodec.

    Exact in any batch in float32. In bfloat16 the logits of one row move by rounding with the size of its batch, and
    a draw that was nearly even may turn out otherwise: from there on the utterance is another sample of the same model.
    """

    spec = EngineSpec(
        name="neutts",
        version="1",
        layouts=(Layout("neutts", ("model",), ("model.embed_tokens.weight", "model.norm.weight")),),
        sample_rate=SAMPLE_RATE,
        front_end="neutts 1.4.1",
        options={
            **OPTIONS,
            "dtype": Option(
                default="bfloat16",
                description="In what the backbone runs; the package's is bfloat16.",
                choices=("bfloat16", "float32"),
            ),
            "min_new_tokens": Option(default=50, description="Tokens before speech may end (50 a second).", low=0),
            "max_length": Option(default=2048, description="Tokens of prompt and speech together.", low=2),
            "backend": Option(
                default="torch",
                description="What runs the backbone; vllm must be installed.",
                choices=("torch", "vllm"),
            ),
        },
        max_batch=32,
        batch_exact=True,
        streaming=True,
        stochastic=True,
        needs_voice=True,
        voice_is_clip=False,
        voice=VOICE,
        needs_voice_text=True,
        phonemes=True,
        assets={
            "backbone": Asset("a folder with the backbone's config.json and tokenizer", names=(".",)),
            "codec": CODEC,
            "w2v_bert": W2V_BERT,
            "adapter": Asset("a folder of a LoRA adapter, to be run without folding it in", required=False),
        },
        environment=Environment(
            "neutts",
            {
                "neutts": "1.4.1",
                "neucodec": "0.0.6",
                "transformers": "5.1.0",
                "peft": "0.21.2",
                "resemble-perth": "1.0.1",
            },
            "evalkit.engines.neutts:requirements.txt",
        ),
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.notes: tuple[str, ...] = ()
        self._system: System | None = None
        self._setup = Setup()
        self._loaded = False

    def set_up(self, setup: Setup) -> None:
        """Build the network, the tokenizer, the codec, the front end and the watermark.

        Raises EvalkitError for an asset that cannot be used and for a backbone that does not say how it reads text.
        """
        from evalkit.engines.neutts.system import System

        self._system = None
        self._loaded = False
        self._system, self._setup = System(setup, self.device, type(self).spec.options), setup
        self.spec = dataclasses.replace(
            type(self).spec,
            front_end=self._system.front_end.name,
            phonemes=self._system.front_end.form == "phonemes",
            streaming=setup.options["backend"] == "torch",
            batch_exact=setup.options["dtype"] == "float32" and setup.options["backend"] == "torch",
        )

    def load(self, weights: Mapping[str, Tensor]) -> str:
        """Load canonical weights strictly; returns the digest of what is loaded, with a runtime adapter's in it.

        Raises EvalkitError, with the weights from before still in place, if a tensor is missing, extra or mis-shaped.
        """
        system = self._ready()
        digest = system.backbone.load(weights)
        self._loaded = True
        held = system.backbone.weights()
        rounded = any(not torch.equal(held[key].cpu(), tensor.cpu()) for key, tensor in weights.items())
        self.notes = (_ROUNDED,) if rounded else ()
        return digest

    def weights(self) -> Mapping[str, Tensor]:
        return self._ready().backbone.weights() if self._loaded else {}

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        """A voice of a file of codes, of a speaker's name, or of a clip where the codec's encoder lies at hand."""
        if is_codes(reference):
            return read_voice(reference, text)
        from evalkit.engines.neutts.encoding import encode_voice

        return encode_voice(reference, text, self._setup.assets, self.device)

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        """Speak, all requests as one batch for the backbone. Raises EvalkitError only if no weights are loaded."""
        system = self._speaking()
        return system.speak(requests)

    def stream(self, request: Request) -> Iterator[Tensor]:
        """Chunks of half a second, by the package's way of streaming GGUF backbones; their sum is not what
        `synthesize` gives of the same codes. Raises EvalkitError on a bad request."""
        return self._speaking().stream(request)

    @classmethod
    def example(cls, folder: Path, seed: int) -> Example:
        from evalkit.engines.neutts.example import write_example

        return write_example(folder, seed)

    def _ready(self) -> System:
        if self._system is None:
            raise EvalkitError("neutts is not set up: call set_up with a backbone's folder and a codec first.")
        return self._system

    def _speaking(self) -> System:
        if not self._loaded:
            raise EvalkitError("neutts has no weights yet: call load first.")
        return self._ready()

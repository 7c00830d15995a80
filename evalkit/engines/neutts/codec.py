"""NeuCodec's decoder, from codes to audio, and the Perth watermark.

Source: neucodec 0.0.6 (model.py:159-175, codec_decoder_vocos.py); neutts 1.4.1 (neutts.py:70-103, 402-423).
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from evalkit.errors import EvalkitError, some

SAMPLE_RATE = 24_000
HOP = 480  # samples a code
_HEAD = 64  # of the decoder's attention; the package's rotary embedding has its size
_WEIGHTS = ("pytorch_model.bin", "model.safetensors", "model.onnx")
_CONV = "generator.backbone.embed.weight"
_OUT = "generator.head.out.weight"
_PROJECTION = "fc_post_a.weight"


class Codec(Protocol):
    """Decodes one utterance at a time: padding would change the audio, so a batch has no place here."""

    def decode(self, codes: Sequence[int]) -> Tensor:
        """Audio, float32 [480 * codes] at 24 kHz, of at least one code (0..65535)."""
        ...


def load_codec(path: Path, device: torch.device | str = "cpu") -> Codec:
    """The decoder in a file (.onnx, .safetensors, or .bin/.pt/.pth, as published), or in a folder that holds one.

    A torch decoder runs on `device`, an ONNX one on the CPU. Raises EvalkitError for what is no NeuCodec decoder:
    each of the decoder's tensors must be there in its shape. The package would leave missing ones random.
    """
    file = codec_file(path)
    if file.suffix == ".onnx":
        return OnnxCodec(file)
    return TorchCodec(read_codec_tensors(file), file.name, torch.device(device))


class TorchCodec:
    """The package's decoder classes without its encoder, which would have to download a w2v-bert."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str, device: torch.device) -> None:
        network = _network(*_sizes(tensors, name))
        wanted = network.state_dict()
        missing = [key for key in wanted if key not in tensors]
        misshaped = [key for key, tensor in wanted.items() if key in tensors and tensors[key].shape != tensor.shape]
        if wrong := missing or misshaped:
            raise EvalkitError(
                f"{name} is no complete NeuCodec decoder: {len(wrong)} tensors are "
                f"{'missing' if missing else 'of another shape'} ({some(wrong)}); get the codec again."
            )
        network.load_state_dict({key: tensors[key] for key in wanted})
        self.network, self._device = network.float().eval().to(device), device

    @torch.inference_mode()
    def decode(self, codes: Sequence[int]) -> Tensor:
        row = torch.tensor(codes, dtype=torch.long, device=self._device)[None, None]
        audio: Tensor = self.network.decode_code(row)[0, 0]
        return audio


class OnnxCodec:
    """A decoder as an ONNX graph, in the package's own class; it runs on the CPU."""

    def __init__(self, path: Path) -> None:
        from neucodec import NeuCodecOnnxDecoder

        try:
            self._decoder = NeuCodecOnnxDecoder(str(path))
        except ImportError as error:
            raise EvalkitError(f"{path.name} needs onnxruntime, which this environment lacks: install it.") from error
        except Exception as error:
            raise EvalkitError(f"{path} is no ONNX decoder that onnxruntime can run; get it again.") from error

    def decode(self, codes: Sequence[int]) -> Tensor:
        audio = self._decoder.decode_code(np.asarray(codes, dtype=np.int32)[None, None])
        return torch.from_numpy(audio[0, 0])


def write_random_codec(path: Path, seed: int, width: int = 64, depth: int = 1) -> None:
    """A small decoder with random weights in the published format, as safetensors; width: a multiple of 64
    (published: 1024); depth: transformer blocks (published: 12).

    It has all 65536 codes and makes 480 audible samples of each.
    """
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # torch draws the first weights, overwritten below, from the global state
        network = _network(width, depth, HOP, width)
    tensors = network.state_dict()
    for key, tensor in tensors.items():
        if key.endswith("weight") and tensor.ndim > 1:
            spread = 4.0 if key.startswith("generator.quantizer") else 1.0
            tensor.normal_(0.0, spread * tensor[0].numel() ** -0.5, generator=generator)
    tensors["generator.head.out.weight"].mul_(0.5)
    tensors["generator.head.out.bias"][: 2 * HOP + 1] = 0.7  # log magnitude: some -20 dB
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)


def codec_file(path: Path) -> Path:
    """A codec's file, given itself or its folder. Raises EvalkitError if there is none."""
    if path.is_file():
        return path
    found = [path / name for name in _WEIGHTS if (path / name).is_file()]
    if not found:
        raise EvalkitError(f"No codec at {path}: name a file, or a folder with {' or '.join(_WEIGHTS)}.")
    return found[0]


def read_codec_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a codec's file, encoder's too where it has them. Raises EvalkitError for a damaged one."""
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        content: Any = torch.load(file, weights_only=True, map_location="cpu", mmap=True)
    except Exception as error:
        raise EvalkitError(f"The codec {file} cannot be read as weights; get it again.") from error
    if not isinstance(content, Mapping):
        raise EvalkitError(f"The codec {file} holds no weights by name; get it again.")
    return {str(key): tensor for key, tensor in content.items() if isinstance(tensor, Tensor)}


def _sizes(tensors: Mapping[str, Tensor], name: str) -> tuple[int, int, int, int]:
    """width, depth, hop and size of a code's vector, read off the shapes."""
    conv, out, projection = (tensors.get(key) for key in (_CONV, _OUT, _PROJECTION))
    if conv is None or out is None or projection is None or out.ndim != 2 or projection.ndim != 2:
        raise EvalkitError(f"{name} is no NeuCodec: it lacks {_CONV}, {_OUT} or {_PROJECTION}.")
    width, hop = int(conv.shape[0]), (int(out.shape[0]) - 2) // 4
    if width % _HEAD or hop != HOP:
        raise EvalkitError(f"{name} is no NeuCodec for NeuTTS: width {width}, {hop} samples a code instead of {HOP}.")
    blocks = {key.split(".")[3] for key in tensors if key.startswith("generator.backbone.transformers.")}
    return width, len(blocks), hop, int(projection.shape[1])


def _network(width: int, depth: int, hop: int, vector: int) -> Any:
    from neucodec import NeuCodec
    from neucodec.codec_decoder_vocos import CodecDecoderVocos

    class Decoder(NeuCodec):  # type: ignore[misc]
        """Decodes with the package's own code; has no encoder."""

        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.sample_rate, self.hop_length = SAMPLE_RATE, hop
            self.generator = CodecDecoderVocos(
                hidden_dim=width,
                depth=depth,
                heads=width // _HEAD,
                pos_meb_dim=_HEAD,
                hop_length=hop,
                vq_dim=vector,
            )
            self.fc_post_a = nn.Linear(vector, width)

    return Decoder()


class Watermark:
    """The implicit Perth watermark, as the package puts it on every output: on the CPU, one clip at a time.

    Raises EvalkitError where it cannot be loaded. The package would go on without it.
    """

    def __init__(self) -> None:
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from neutts.neutts import _load_watermarker

                self._perth = _load_watermarker()
        except ImportError:
            self._perth = None
        if self._perth is None:
            raise EvalkitError("The Perth watermark cannot be loaded here; give --set watermark=false.")
        self(torch.zeros(SAMPLE_RATE).uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(0)))  # compiles

    def __call__(self, audio: Tensor) -> Tensor:
        """The same audio with the mark in it: float32 [samples], 24 kHz, on the audio's device."""
        marked = self._perth.apply_watermark(audio.cpu().numpy(), sample_rate=SAMPLE_RATE)
        return torch.from_numpy(np.asarray(marked, dtype=np.float32)).to(audio.device)

"""Prints how codecs of each format decode, what a watermark does, and how a clip is encoded.

Argument: an .onnx decoder.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import soundfile
import torch
from reference import answer, quietly
from safetensors.torch import load_file

from evalkit.engines.neutts.codec import HOP, Watermark, load_codec, write_random_codec
from evalkit.engines.neutts.encoding import encode_voice
from evalkit.errors import EvalkitError

CODES = [3, 65535, 17, 0, 40000]


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    path = folder / "codec.safetensors"
    write_random_codec(path, 0)
    tensors = load_file(path)
    audio = load_codec(path).decode(CODES)
    published = folder / "neucodec"
    published.mkdir()
    torch.save({**tensors, "SemanticDecoder.weight": torch.zeros(1)}, published / "pytorch_model.bin")
    speech = load_codec(path).decode(list(range(0, 65536, 655)))
    answer(
        {
            "samples": len(audio),
            "wanted": len(CODES) * HOP,
            "published_is_the_same": torch.equal(load_codec(published).decode(CODES), audio),
            "onnx": load_codec(Path(sys.argv[1])).decode([3, 5]).tolist(),
            "lost": refusal(folder, tensors, lambda t: t.pop("fc_post_a.bias")),
            "misshaped": refusal(folder, tensors, lambda t: t.update({"fc_post_a.bias": torch.zeros(3)})),
            "marks": marks(speech),
            "encoded": encoded(folder),
        }
    )


def refusal(folder: Path, tensors: Mapping[str, Any], damage: Callable[[dict[str, Any]], Any]) -> str:
    damaged = dict(tensors)
    damage(damaged)
    torch.save(damaged, folder / "damaged.pt")
    try:
        load_codec(folder / "damaged.pt")
    except EvalkitError as error:
        return str(error)
    return ""


def marks(audio: torch.Tensor) -> dict[str, Any]:
    """Whether ours is the package's watermark to the bit."""
    from neutts.neutts import _load_watermarker

    theirs = quietly(_load_watermarker).apply_watermark(audio.numpy(), sample_rate=24_000)
    ours = Watermark()(audio)
    return {"same": torch.equal(ours, torch.from_numpy(theirs)), "moved": not torch.equal(ours, audio)}


def encoded(folder: Path) -> dict[str, Any]:
    """A clip's codes, ours against the package's class built by its own constructor, with a small w2v-bert."""
    from neucodec import NeuCodec
    from transformers import AutoFeatureExtractor, SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

    torch.manual_seed(0)
    w2v_bert = folder / "w2v-bert-2.0"
    config = Wav2Vec2BertConfig(
        hidden_size=1024, num_hidden_layers=16, intermediate_size=32, conv_depthwise_kernel_size=3
    )
    config.architectures = ["Wav2Vec2BertModel"]
    Wav2Vec2BertModel(config).save_pretrained(w2v_bert)
    SeamlessM4TFeatureExtractor(feature_size=80, num_mel_bins=80, stride=2, padding_value=1).save_pretrained(w2v_bert)
    clip = folder / "anu.wav"
    soundfile.write(clip, np.random.default_rng(0).normal(0, 0.1, 22_050).astype(np.float32), 22_050)

    def local(cls: Any) -> Any:
        load = cls.from_pretrained
        return mock.patch.object(cls, "from_pretrained", lambda name, **options: load(str(w2v_bert), **options))

    with local(Wav2Vec2BertModel), local(AutoFeatureExtractor):
        theirs = NeuCodec(24_000, 480).eval()
    theirs.generator.quantizer.project_in.weight.data.mul_(100.0)  # or all codes are the middle one
    torch.save(theirs.state_dict(), folder / "whole.bin")
    assets = {"w2v_bert": w2v_bert, "codec": folder / "whole.bin"}
    voice = encode_voice(clip, "Hello.", assets, torch.device("cpu"))
    import librosa

    samples = torch.from_numpy(librosa.load(clip, sr=16_000, mono=True)[0])[None, None]
    with torch.no_grad():
        wanted = theirs.encode_code(samples).flatten().tolist()
    return {"same": list(voice.data.codes) == wanted, "codes": len(wanted), "different": len(set(wanted))}


if __name__ == "__main__":
    main()

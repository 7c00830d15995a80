"""A reference clip as a voice, where the codec's encoder and the w2v-bert that it stands on lie on this machine.

Source: neucodec 0.0.6, neucodec/model.py:28-45, 98-156; neutts 1.4.1, neutts/neutts.py:395-400.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evalkit.engines.base import Voice
from evalkit.engines.neutts.codec import HOP, SAMPLE_RATE, codec_file, read_codec_tensors
from evalkit.engines.neutts.voices import make_voice, text_of
from evalkit.errors import EvalkitError, some

READ_AT = 16_000  # Hz, of the clip
_PARTS = ("semantic_model", "SemanticEncoder_module", "CodecEnc", "generator", "fc_prior")


def encode_voice(clip: Path, text: str | None, assets: Mapping[str, Path], device: torch.device) -> Voice:
    """Codes of a clip, by the package's own encoder; assets: the engine's, of which "codec" and "w2v_bert" are used.

    Raises EvalkitError, which says how to make codes elsewhere, if either is not there or is a decoder only.
    """
    w2v_bert = assets.get("w2v_bert")
    if w2v_bert is None:
        raise _elsewhere(clip, "w2v-bert-2.0 is not on this machine (--set w2v_bert=FOLDER)")
    file = codec_file(assets["codec"])
    if file.suffix == ".onnx":
        raise _elsewhere(clip, f"{file.name} only decodes")
    encoder = _encoder(w2v_bert if w2v_bert.is_dir() else w2v_bert.parent)
    _load(encoder, read_codec_tensors(file), clip, file.name)
    return make_voice(clip.stem, _codes(encoder.eval().to(device), clip), text_of(clip, text))


@torch.inference_mode()
def _codes(encoder: Any, clip: Path) -> tuple[int, ...]:
    import librosa

    try:
        audio, _ = librosa.load(clip, sr=READ_AT, mono=True)
    except Exception as error:
        raise EvalkitError(f"The clip {clip} cannot be read as audio; check the path.") from error
    codes: Tensor = encoder.encode_code(torch.from_numpy(audio).float()[None, None])
    return tuple(codes.flatten().tolist())


def _encoder(w2v_bert: Path) -> Any:
    """The package's class, with w2v-bert from a folder where its own constructor would download it."""
    from neucodec import NeuCodec
    from neucodec.codec_decoder_vocos import CodecDecoderVocos
    from neucodec.codec_encoder import CodecEncoder
    from neucodec.module import SemanticEncoder

    transformers: Any = import_module("transformers")

    class Encoder(NeuCodec):  # type: ignore[misc]
        """Encodes with the package's own code."""

        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.sample_rate, self.hop_length = SAMPLE_RATE, HOP
            self.semantic_model = transformers.Wav2Vec2BertModel.from_pretrained(
                str(w2v_bert), output_hidden_states=True, local_files_only=True
            )
            self.feature_extractor = transformers.AutoFeatureExtractor.from_pretrained(
                str(w2v_bert), local_files_only=True
            )
            self.SemanticEncoder_module = SemanticEncoder(1024, 1024, 1024)
            self.CodecEnc = CodecEncoder()
            self.generator = CodecDecoderVocos(hop_length=HOP)
            self.fc_prior = nn.Linear(2048, 2048)

    try:
        with torch.random.fork_rng(devices=[]):
            return Encoder()
    except (OSError, ValueError) as error:
        raise EvalkitError(f"The folder {w2v_bert} holds no w2v-bert-2.0 that transformers can read.") from error


def _load(encoder: Any, tensors: Mapping[str, Tensor], clip: Path, name: str) -> None:
    """All of the encoder's tensors; w2v-bert's own may come from its folder alone."""
    wanted = encoder.state_dict()
    lacking = [key for key in wanted if key not in tensors and not key.startswith("semantic_model.")]
    misshaped = [key for key in wanted if key in tensors and tensors[key].shape != wanted[key].shape]
    if wrong := lacking or misshaped:
        raise _elsewhere(clip, f"{name} holds no whole encoder ({len(wrong)} tensors do not fit: {some(wrong)})")
    encoder.load_state_dict({key: tensors[key] for key in wanted if key in tensors}, strict=False)


def _elsewhere(clip: Path, why: str) -> EvalkitError:
    return EvalkitError(
        f"The clip {clip.name} cannot be encoded, since {why}: give a file of its codes, made once with neutts by "
        f"torch.save(NeuTTS(...).encode_reference('{clip.name}'), '{clip.stem}.pt')."
    )

"""What both NeuTTS engines, on torch and on llama.cpp, are set with."""

from __future__ import annotations

from evalkit.engines.base import Asset
from evalkit.engines.neutts.prompt import INPUT_FORMATS, NEUTRAL
from metrics.options import Option

OPTIONS = {
    "language": Option(
        default="en-us", description="The espeak-ng language of a backbone that reads phonemes (de, fr-fr, es, ...)."
    ),
    "input_format": Option(
        default="",
        description="How the backbone reads text; by default what its config says.",
        choices=("", *INPUT_FORMATS),
    ),
    "emotion": Option(default=NEUTRAL, description="The emotion to speak with, of backbones that read text."),
    "temperature": Option(default=1.0, description="What the logits are divided by.", low=0.01, high=10.0),
    "top_k": Option(default=50, description="How many of the likeliest tokens are drawn from; 1 is greedy.", low=1),
    "watermark": Option(
        default=True, description="Put Perth's watermark on the audio, as the package does; it alters the audio."
    ),
}
CODEC = Asset(
    description="NeuCodec's decoder (pytorch_model.bin, or an .onnx)",
    names=("codec", "neucodec", "codec.safetensors", "codec.onnx"),
    hub=("neuphonic/neucodec", "pytorch_model.bin"),
)
W2V_BERT = Asset(
    description="the folder of w2v-bert-2.0, which encoding a reference clip needs",
    names=("w2v-bert-2.0",),
    hub=("facebook/w2v-bert-2.0", "config.json"),
    required=False,
)
VOICE = "a file of NeuCodec codes (.pt, .npy) with NAME.txt beside it, or a speaker of the package (emily)"

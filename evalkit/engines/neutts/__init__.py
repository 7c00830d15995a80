"""NeuTTS: a language model that speaks in NeuCodec codes."""

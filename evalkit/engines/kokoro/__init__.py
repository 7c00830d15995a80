"""Kokoro-82M and its fine-tunes (StyleTTS2 with an iSTFTNet decoder), spoken through the kokoro package's modules."""

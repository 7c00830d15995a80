"""CosyVoice 1, 2 and 3, from a source checkout that the user names."""

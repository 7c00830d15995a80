"""audio: clips that were made elsewhere, one file per utterance."""

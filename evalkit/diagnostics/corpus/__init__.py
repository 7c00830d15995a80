"""A training set as a stream of clips, however it lies on disk."""

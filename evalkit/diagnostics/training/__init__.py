"""What a training set is like, and whether a fine-tune on it can work."""

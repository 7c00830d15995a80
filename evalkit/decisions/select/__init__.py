"""Which checkpoint of a training to take, when its quality turned from its loss, and which clip to clone from."""

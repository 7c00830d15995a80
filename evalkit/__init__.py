"""evalkit: says whether a text-to-speech checkpoint got better, how sure that is, and why."""

__version__ = "0.1.0"

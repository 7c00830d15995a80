"""command: any program that turns text into a WAV file."""

"""F5-TTS: flow matching over mel frames, conditioned on characters and a reference clip; spoken by Vocos."""

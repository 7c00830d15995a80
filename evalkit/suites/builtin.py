"""The folders of the built-in suites, as their entry points name them."""

from pathlib import Path

_SUITES = Path(__file__).parent

smoke = _SUITES / "smoke"
general = _SUITES / "general"
indian_names = _SUITES / "indian_names"

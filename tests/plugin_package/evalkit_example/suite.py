"""A suite: `proverbs` is a folder of data; this names it. `evalkit.suites` describes the files."""

from pathlib import Path

proverbs = Path(__file__).parent / "proverbs"

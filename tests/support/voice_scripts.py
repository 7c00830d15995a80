"""The scripts that made the reference voices, as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

SCRIPTS = Path(__file__).resolve().parents[2] / "fixtures" / "voices"


def script(name: str) -> ModuleType:
    """Import fixtures/voices/<name>.py, one that imports none of its neighbours."""
    spec = importlib.util.spec_from_file_location(f"voice_script_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module

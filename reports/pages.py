"""What every page is made with: templates, styles, and scripts that the page's own policy lets run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from reports.values import loose

if TYPE_CHECKING:
    from jinja2 import Environment

_ASSETS = Path(__file__).parent / "assets"


def page(template: str, context: Mapping[str, Any]) -> str:
    """A self-contained page."""
    return environment().get_template(template).render(context)


def style(*names: str) -> Markup:
    """The style sheets of the assets, one after another, to be put into a page."""
    return Markup("\n".join((_ASSETS / name).read_text(encoding="utf-8") for name in names))


def script(name: str) -> dict[str, Any]:
    """`script` and `script_hash` of a page: the text, and its digest for the page's content security policy."""
    text = (_ASSETS / name).read_text(encoding="utf-8")
    return {"script": Markup(text), "script_hash": base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}


def environment() -> Environment:
    """Templates of the assets; what is not there is an error, and every text is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(minus=_minus, code=_code, breakable=_breakable, loose=loose)
    return made


def _minus(text: str) -> str:
    """A number with a real minus sign, as wide as a plus."""
    return text.replace("-", "−")


def _breakable(name: str) -> Markup:
    """A column's name that may break after its underscores where room is short."""
    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def _code(sentence: str) -> Markup:
    """What stands between backticks as code."""
    parts = str(sentence).split("`")
    if len(parts) % 2 == 0:
        return escape(sentence)
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(parts))

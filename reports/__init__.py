"""Finished tables in; a self-contained HTML report, Markdown for CI and the table at the end of a run out.

Nothing here computes a score: the summary, manifest and rows of a run come in as plain mappings.
"""

from reports.html import render_html
from reports.markdown import render_markdown
from reports.terminal import terminal_table

__all__ = ["render_html", "render_markdown", "terminal_table"]

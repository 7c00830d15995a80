"""The page of a comparison in a real Chromium, at desktop and phone width."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from compared_runs import made_rows, made_run

from evalkit.decisions.answers import MARGINS
from evalkit.decisions.comparison import compare
from evalkit.decisions.scores import open_scores
from reports.comparison_page import render_comparison

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH: the page cannot be tried in a browser"),
]
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-sync", "--disable-component-update",
    "--allow-file-access-from-files", "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=15000", "--dump-dom",
)  # fmt: skip
SHELL = """<!doctype html><meta charset="utf-8"><body style="margin:0"><pre id="answer" hidden></pre>
<iframe src="page.html" style="border:0;display:block;width:%dpx;height:900px"></iframe><script>
const frame = document.querySelector("iframe");
frame.onload = async () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const sounds = [...page.querySelectorAll("audio")];
  const answer = await (async () => {
    await sounds[0].play();
    await sounds[1].play();
    const boxes = [...page.querySelectorAll(".pair-card .sound")].slice(0, 2).map((one) => one.getBoundingClientRect());
    return {
      first: sounds[0].paused, second: sounds[1].paused, sounds: sounds.length,
      wide: page.documentElement.scrollWidth - view.innerWidth,
      beside: boxes[0].top === boxes[1].top,
      requests: view.performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith("data:")),
    };
  })().catch((error) => String(error));
  document.getElementById("answer").textContent = JSON.stringify(answer);
};
</script>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compared")
    paths = [
        made_run(out, "base", made_rows(12)),
        made_run(
            out, "a-model-with-a-rather-long-name-as-names-go.pth", made_rows(12, mos=2, errors=[1] * 12, failed=[3])
        ),
    ]
    opened = [open_scores(path) for path in paths]
    page = render_comparison(compare(opened[0], opened[1:], MARGINS), paths, out)
    (out / "page.html").write_text(page, encoding="utf-8")
    return out


def look(folder: Path, profile: Path, width: int) -> dict[str, Any]:
    (folder / "shell.html").write_text(SHELL % width, encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", (folder / "shell.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    found = re.search(r'<pre id="answer" hidden="">(.*?)</pre>', dom, re.S)
    assert found
    answer: dict[str, Any] = json.loads(found[1])
    return answer


def test_one_side_stops_when_the_other_plays(folder: Path, tmp_path: Path) -> None:
    answer = look(folder, tmp_path, 1280)
    assert (answer["first"], answer["second"]) == (True, False)
    assert answer["beside"] and answer["requests"] == [] and answer["wide"] <= 0


def test_a_phone_shows_one_side_below_the_other_and_nothing_is_cut(folder: Path, tmp_path: Path) -> None:
    answer = look(folder, tmp_path, 390)
    assert not answer["beside"] and answer["wide"] <= 0 and answer["sounds"] >= 2

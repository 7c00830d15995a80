"""The report in a real Chromium. The page is opened as it is, in a frame of a page that clicks and measures."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reports import render_html

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH: the page cannot be tried in a browser"),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--allow-file-access-from-files",  # lets the page below look into the report
    "--autoplay-policy=no-user-gesture-required",
]
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"
LIGHT, DARK = "--blink-settings=preferredColorScheme=1", "--blink-settings=preferredColorScheme=0"
SHELL = """<!doctype html><meta charset="utf-8"><body style="margin:0"><pre id="answer" hidden></pre>
<iframe src="report.html" style="border:0;display:block;width:%(width)dpx;height:%(height)dpx"></iframe><script>
const frame = document.querySelector("iframe");
const wait = async (ready) => {
  for (let i = 0; i < 200 && !ready(); i++) await new Promise((done) => setTimeout(done, 50));
};
frame.onload = async () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const all = (selector) => [...page.querySelectorAll(selector)];
  const header = (name) => all("#utterances thead th").find((th) => th.textContent === name);
  const sort = (name) => header(name).querySelector("button").click();
  const column = (name) => all("#utterances tbody tr").map((row) => row.cells[header(name).cellIndex].dataset.v);
  const filter = (text) => {
    page.getElementById("filter").value = text;
    page.getElementById("filter").dispatchEvent(new view.Event("input"));
    return page.getElementById("count").textContent;
  };
  const answer = await (async () => { %(script)s })().catch((error) => String(error));
  document.getElementById("answer").textContent = JSON.stringify(answer);
};
</script>"""


def chromium(page: Path, profile: Path, *flags: str) -> str:
    assert CHROMIUM
    command = [CHROMIUM, *FLAGS, OFFLINE, f"--user-data-dir={profile}", *flags]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=300, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def folder(fake_run: Any) -> Path:
    page = render_html(fake_run.manifest, fake_run.summary, fake_run.rows, fake_run.folder)
    (fake_run.folder / "report.html").write_text(page, encoding="utf-8")
    path: Path = fake_run.folder
    return path


@pytest.fixture
def ask(folder: Path, tmp_path: Path) -> Callable[..., Any]:
    """Run a script on the report as it is; it sees `page`, `view`, `wait` and returns its answer."""

    def run(script: str, width: int = 1280, folder: Path = folder) -> Any:
        shell = folder / "shell.html"
        shell.write_text(SHELL % {"width": width, "height": 900, "script": script}, encoding="utf-8")
        dom = chromium(shell, tmp_path / "profile", "--dump-dom", "--virtual-time-budget=15000")
        found = re.search(r'<pre id="answer" hidden="">(.*?)</pre>', dom, re.S)
        assert found
        return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))

    return run


def test_rows_show_and_hostile_text_does_nothing(ask: Callable[..., Any]) -> None:
    answer = ask(
        """const requests = view.performance.getEntriesByType("resource").map((entry) => entry.name);
        return { rows: all("#utterances tbody tr").length, title: page.title,
          text: page.querySelector("#utterances tbody tr:nth-child(4) .text").textContent,
          requests: requests.filter((name) => !name.startsWith("data:")) };"""
    )
    assert answer["rows"] == 60
    assert answer["title"] == "merged.pth on indian-names 1 – evalkit"
    assert "<script>" in answer["text"]
    assert answer["requests"] == []


def test_sorting_puts_the_worst_first_and_missing_last(ask: Callable[..., Any], fake_run: Any) -> None:
    answer = ask(
        """const shown = [];
        for (let click = 0; click < 2; click++) {
          sort("wer");
          shown.push([header("wer").getAttribute("aria-sort"), column("wer")]);
        }
        sort("utterance");
        return { shown, sorted: all("#utterances [aria-sort$=ending]").map((th) => th.textContent),
          ids: all("#utterances tbody th").map((th) => th.textContent) };"""
    )
    values = [float(f"{row['wer']:.6g}") for row in fake_run.rows if row["wer"] is not None]
    (first, falling), (second, rising) = answer["shown"]
    assert (first, second) == ("descending", "ascending")
    assert [float(value) for value in falling[:-2]] == sorted(values, reverse=True)
    assert [float(value) for value in rising[:-2]] == sorted(values)
    assert falling[-2:] == rising[-2:] == ["", ""]
    assert answer["ids"] == sorted(row["utterance"] for row in fake_run.rows)
    assert answer["sorted"] == ["utterance"]


def test_filter(ask: Callable[..., Any], fake_run: Any) -> None:
    answer = ask(
        """return ["LAKSHMI language:bn", "too_long", "no such words", ""].map((text) =>
          [filter(text), all("#utterances tbody tr").filter((row) => row.offsetParent).length]);"""
    )
    lakshmi = sum("Lakshmi" in row["text"] and "language:bn" in row["tags"] for row in fake_run.rows)
    assert lakshmi > 0
    assert answer == [[f"{lakshmi} of 60", lakshmi], ["1 of 60", 1], ["0 of 60", 0], ["60 of 60", 60]]


def test_sound_plays_from_the_page_and_from_the_folder(ask: Callable[..., Any], fake_run: Any) -> None:
    answer = ask(
        """const sound = page.querySelector(".card audio"), audio = page.querySelector("#player audio");
        sound.load();
        await wait(() => sound.duration > 0);
        page.querySelector("a.play").click();
        await wait(() => audio.duration > 0);
        const label = page.getElementById("playing").textContent, heard = audio.duration;
        page.getElementById("stop").click();
        return { card: sound.duration, heard, label, hidden: page.getElementById("player").hidden,
          picture: page.querySelector(".card img").naturalWidth };"""
    )
    assert 1.0 <= answer["card"] <= 2.0
    assert 1.0 <= answer["heard"] <= 2.0
    assert answer["label"] == fake_run.rows[0]["utterance"]
    assert answer["hidden"] is True
    assert answer["picture"] == 480


def test_the_page_never_scrolls_sideways(ask: Callable[..., Any]) -> None:
    """From a small phone to a wide screen, with everything unfolded; wide tables scroll inside their own box."""
    answer = ask(
        """all("details").forEach((details) => { details.open = true; });
        const outside = all("main *").filter((element) => !element.closest(".scroll, .command, svg"));
        return [360, 390, 768, 1280, 1920].map((width) => {
          frame.style.width = `${width}px`;
          const wide = outside.filter((element) => element.getBoundingClientRect().right > width + 0.5);
          return [view.innerWidth, page.documentElement.scrollWidth, wide.map((element) => element.outerHTML)];
        });"""
    )
    assert answer == [[width, width, []] for width in (360, 390, 768, 1280, 1920)]


def test_two_thousand_rows_sort_and_filter(
    ask: Callable[..., Any], tmp_path: Path, fake_run: Any, make_rows: Any, summarise: Any
) -> None:
    rows = make_rows(2000)
    page = render_html(fake_run.manifest, summarise(rows), rows, tmp_path)
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    first, count = ask('sort("dnsmos_ovrl"); return [column("dnsmos_ovrl")[0], filter("kind:place")];', folder=tmp_path)
    assert float(first) == float(f"{min(row['dnsmos_ovrl'] for row in rows if row['dnsmos_ovrl']):.6g}")
    assert count == f"{sum('kind:place' in row['tags'] for row in rows)} of 2000"


@pytest.mark.parametrize(("scheme", "width"), [(LIGHT, 1280), (DARK, 390)])
def test_light_and_dark_pictures(folder: Path, tmp_path: Path, scheme: str, width: int) -> None:
    shell = folder / "shell.html"
    shell.write_text(SHELL % {"width": width, "height": 1600, "script": ""}, encoding="utf-8")
    picture = tmp_path / "report.png"
    size = f"--window-size={max(width, 500)},1600"
    chromium(shell, tmp_path / "profile", scheme, size, "--virtual-time-budget=3000", f"--screenshot={picture}")
    pixels = np.asarray(Image.open(picture).convert("L"), dtype=float)[:, :width]
    paper = np.median(pixels)
    assert paper > 240 if scheme == LIGHT else paper < 40
    assert 0.01 < (abs(pixels - paper) > 100).mean() < 0.2, "there is text on the paper"

"""The page of a diagnosis in a real Chromium: nothing is cut, nothing covers a name, sound plays without a script."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnoses import PUBLISHED, make_diagnosis, make_speaker, nothing_measured, several
from PIL import Image

from reports.clips import ClipReader
from reports.diagnosis_findings import to_hear
from reports.diagnosis_page import render_diagnosis

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH: the page cannot be tried in a browser"),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--allow-file-access-from-files",  # lets the page below look into the report
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=15000",
]
SHELL = """<!doctype html><meta charset="utf-8"><body style="margin:0"><pre id="answer" hidden></pre>
<iframe src="report.html" style="border:0;display:block;width:%(width)dpx;height:1600px"></iframe><script>
const frame = document.querySelector("iframe");
const wait = async (ready) => {
  for (let i = 0; i < 200 && !ready(); i++) await new Promise((done) => setTimeout(done, 50));
};
frame.onload = async () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const all = (selector) => [...page.querySelectorAll(selector)];
  const answer = await (async () => { %(script)s })().catch((error) => String(error));
  document.getElementById("answer").textContent = JSON.stringify(answer);
};
</script>"""
LONG = "a-speaker-whose-name-has-no-place-to-break-" + "x" * 80


def chromium(page: Path, profile: Path, *flags: str) -> str:
    assert CHROMIUM
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


@pytest.fixture(scope="module")
def folder(fake_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speakers of all outcomes, names of all lengths, findings of every kind, sounds, a long list of broken files."""
    path = tmp_path_factory.mktemp("diagnosis")
    speakers = [*several(6), make_speaker(LONG, "risk", seed=9), nothing_measured("mute")]
    diagnosis = make_diagnosis(speakers, flagged=6, unreadable=30, path=f"corpora/{LONG}")
    diagnosis["data"]["problems"][0] |= {"id": LONG, "where": f"/{LONG}/{LONG}.wav"}
    diagnosis["flags"]["noisy"]["clips"] = [LONG, f"{LONG}/{LONG}"]
    reader = ClipReader(fake_run.folder)
    sounds = [row for row in fake_run.rows if row["audio"]]
    asked = to_hear(diagnosis)
    players = {id: reader.read(sounds[n % 20]) for n, id in enumerate(asked)}
    clips = {id: {"speaker": LONG, "text": LONG, "wada_snr_db": 1.0, "seconds": 0.3} for id in asked}
    (path / "report.html").write_text(render_diagnosis(diagnosis, PUBLISHED, players, clips), encoding="utf-8")
    return path


@pytest.fixture
def ask(folder: Path, tmp_path: Path) -> Callable[..., Any]:
    """Run a script on the page as it is; it sees `page`, `view`, `all`, `wait` and returns its answer."""

    def run(script: str, width: int = 1280) -> Any:
        shell = folder / "shell.html"
        shell.write_text(SHELL % {"width": width, "script": script}, encoding="utf-8")
        found = re.search(
            r'<pre id="answer" hidden="">(.*?)</pre>', chromium(shell, tmp_path / "profile", "--dump-dom"), re.S
        )
        assert found
        return json.loads(html.unescape(found[1]))

    return run


def test_the_page_never_scrolls_sideways(ask: Callable[..., Any]) -> None:
    """From a small phone to a wide screen, with everything unfolded; wide tables scroll inside their own box."""
    answer = ask(
        """all("details").forEach((details) => { details.open = true; });
        const outside = all("main *").filter((element) => !element.closest(".scroll, svg"));
        return [360, 390, 768, 1280, 1920].map((width) => {
          frame.style.width = `${width}px`;
          const wide = outside.filter((element) => element.getBoundingClientRect().right > width + 0.5);
          return [view.innerWidth, page.documentElement.scrollWidth, wide.map((element) => element.outerHTML)];
        });"""
    )
    assert answer == [[width, width, []] for width in (360, 390, 768, 1280, 1920)]


@pytest.mark.parametrize("width", [390, 1280])
def test_names_in_the_outcome_chart_cover_nothing_and_are_not_cut(ask: Callable[..., Any], width: int) -> None:
    """With the letters that the browser really has."""
    answer = ask(
        """const chart = all("svg.outcomes").find((svg) => svg.getBoundingClientRect().width > 0);
        const edges = (b) => [b.left, b.top, b.right, b.bottom];
        const box = (element) => edges(element.getBoundingClientRect());
        const boxes = (selector) => [...chart.querySelectorAll(selector)].map((e) => [e.textContent, ...box(e)]);
        return { frame: box(chart), names: boxes("text.named"), zones: boxes("text.zone"), dots: boxes("circle") };""",
        width,
    )
    names, zones, dots = answer["names"], answer["zones"], answer["dots"]
    assert len(names) == len(PUBLISHED) + 7
    assert len(zones) == 3
    left, _, right, _ = answer["frame"]

    def touch(one: list[Any], other: list[Any]) -> bool:
        room = 2  # px: the box of a text is higher than its letters
        return bool(
            one[1] + room < other[3]
            and other[1] + room < one[3]
            and one[2] + room < other[4]
            and other[2] + room < one[4]
        )

    everything = [*names, *zones]
    assert not [(a[0], b[0]) for n, a in enumerate(everything) for b in everything[:n] if touch(a, b)]
    assert not [(name[0], dot[0]) for name in names for dot in dots if touch(name, dot)]
    assert not [text[0] for text in everything if text[1] < left - 0.5 or text[3] > right + 0.5]


def test_no_text_of_a_distribution_is_cut(ask: Callable[..., Any]) -> None:
    answer = ask(
        """return all("svg.strips").flatMap((svg) => {
          const frame = svg.getBoundingClientRect();
          return [...svg.querySelectorAll("text")].filter((text) => {
            const box = text.getBoundingClientRect();
            return box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
          }).map((text) => text.textContent);
        });""",
        390,
    )
    assert answer == []


def test_sound_plays_and_nothing_is_asked_of_the_network(ask: Callable[..., Any]) -> None:
    answer = ask(
        """const sound = page.querySelector("audio");
        sound.load();
        await wait(() => sound.duration > 0);
        const requests = view.performance.getEntriesByType("resource").map((entry) => entry.name);
        return { heard: sound.duration, picture: page.querySelector(".clip img").naturalWidth,
          requests: requests.filter((name) => !name.startsWith("data:")) };"""
    )
    assert 1.0 <= answer["heard"] <= 2.0
    assert answer["picture"] == 480
    assert answer["requests"] == []


def test_a_link_to_a_folded_verdict_unfolds_it(ask: Callable[..., Any]) -> None:
    answer = ask(
        """const link = all(".outcomes a").find((a) => page.querySelector(a.hash).closest("details"));
        const details = page.querySelector(link.hash).closest("details");
        const before = details.open;
        link.click();
        await wait(() => details.open);
        return [before, details.open];"""
    )
    assert answer == [False, True]


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 390)])
def test_light_and_dark_pictures(folder: Path, tmp_path: Path, dark: bool, width: int) -> None:
    shell, picture = folder / "shell.html", tmp_path / "report.png"
    shell.write_text(SHELL % {"width": width, "script": ""}, encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    chromium(shell, tmp_path / "profile", scheme, f"--window-size={max(width, 500)},1600", f"--screenshot={picture}")
    pixels = np.asarray(Image.open(picture).convert("L"), dtype=float)[:, :width]
    paper = np.median(pixels)
    assert paper < 40 if dark else paper > 240
    assert 0.01 < (abs(pixels - paper) > 100).mean() < 0.2, "there is text on the paper"

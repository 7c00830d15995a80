import copy
import dataclasses
import itertools
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import reports
from reports import render_html
from reports.clips import BUDGET

VOID = {"meta", "img", "input", "wbr", "br", "link"}
BLOCKS = {"td", "th", "dt", "dd", "li", "p", "text", "h1", "h2", "h3", "h4"}


class Page(HTMLParser):
    """Elements with their attributes, the visible text, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in BLOCKS:
            self.text += " "

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


@pytest.fixture(scope="module")
def html(fake_run: Any) -> str:
    return render_html(fake_run.manifest, fake_run.summary, fake_run.rows, fake_run.folder)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def render(run: Any, **changes: Any) -> Page:
    run = dataclasses.replace(run, **changes)
    return Page(render_html(run.manifest, run.summary, run.rows, run.folder))


def test_sections_in_order(page: Page) -> None:
    assert page.open == [], "every element is closed"
    sections = [attributes["id"] for attributes in page.all("section") if "id" in attributes]
    assert sections == ["summary", "distributions", "tags", "worst", "all", "provenance"]
    places = [page.words.index(words) for words in ("Coverage is short", "About the judges", "Means over utterances")]
    assert places == sorted(places)


def test_nothing_is_fetched_from_anywhere(html: str, page: Page) -> None:
    addresses = [
        v for _, a in page.elements for k, v in a.items() if k in ("src", "href", "srcset", "poster", "action")
    ]
    assert addresses
    assert all(re.match(r"(data:(audio/flac|image/png);base64,|#|audio/)", address) for address in addresses)
    assert "url(" not in html
    assert "@import" not in html
    assert not page.all("link")
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_hostile_text_stays_text(html: str, page: Page) -> None:
    assert len(page.all("script")) == 1
    assert not page.all("b")
    assert '<script>document.title = "owned"</script>' in page.words
    assert "&lt;script&gt;" in html


def test_hostile_values_everywhere_stay_text(fake_run: Any) -> None:
    hostile = "\"><script>alert('x')</script>"
    run = copy.deepcopy(fake_run)
    run.summary.update(model=hostile, suite=hostile, verdict=hostile)
    run.summary["absent"][hostile] = hostile
    run.summary["judges"]["wer"]["notice"] = f"`{hostile}` {hostile}"
    run.summary["tags"][f"{hostile}:{hostile}"] = run.summary["tags"]["kind:person"]
    run.summary["columns"]["dnsmos_ovrl"].update(unit=hostile, description=hostile)
    run.manifest["packages"] = {hostile: hostile}
    run.manifest["command"] = [hostile]
    for row in run.rows:
        details = {
            "heard": hostile,
            "entities": [{"spelling": hostile, "right": False, "margin": None, "best": hostile}],
        }
        row.update(text=hostile, spoken=hostile, read=hostile + "x", phonemes=hostile, tags=[hostile], details=details)
        row.update(reason=hostile, missing=dict.fromkeys(row["missing"], hostile))
    page = render(run)
    assert len(page.all("script")) == 1
    assert page.words.count(hostile) > 200
    assert page.open == []


def test_no_nan_and_no_none(fake_run: Any, page: Page) -> None:
    assert not re.search(r"\b(nan|none|null|undefined|inf)\b", re.sub("that are NaN|aria", "", page.words), re.I)
    run = copy.deepcopy(fake_run)
    for row in run.rows[:30]:
        row["wer"] = math.nan
    run.summary["columns"]["cer"].update(mean=math.nan, ci95=None, min=None, max=None)
    run.summary["reference"]["wer"] = math.nan
    assert not re.search(r"\b(nan|none)\b", re.sub("that are NaN", "", render(run).words), re.I)


def test_every_number_of_the_summary_is_on_the_page(fake_run: Any, page: Page) -> None:
    column = fake_run.summary["columns"]["dnsmos_ovrl"]
    low, high = column["ci95"]
    assert (
        f"dnsmos_ovrl Overall quality predicted by DNSMOS P.835; higher is better {column['mean']:.2f} MOS"
        in page.words
    )
    assert f"[{low:.2f}, {high:.2f}] 2.43 +0.05 [+0.01, +0.09] better" in page.words
    assert "wer mean over utterances" in page.words
    assert "wer_corpus pooled over the corpus" in page.words
    assert "−0.004 [−0.011, +0.003] no clear difference" in page.words
    assert "+0.010 no interval" in page.words


def test_failures_are_listed_with_reasons(fake_run: Any, page: Page) -> None:
    for row in fake_run.rows:
        if row["status"] != "ok":
            assert f"{row['utterance']} {row['status']}: {row['reason']}" in page.words
    assert "wer is missing for 2 utterances with speech: The judge heard nothing in the clip." in page.words
    assert "first_chunk_s is absent from the whole run: the engine does not stream." in page.words
    reasons = [a["title"] for a in page.all("td") if "title" in a and a.get("data-v") == ""]
    assert "There is no usable speech: too_long." in reasons


def test_worst_utterances_can_be_heard_once(fake_run: Any, page: Page) -> None:
    cards = [a["id"] for a in page.all("article")]
    assert len(cards) == len(set(cards))
    players = [a for a in page.all("audio") if a.get("src", "").startswith("data:")]
    assert len(players) == len(cards)
    worst = min(
        (row for row in fake_run.rows if row["status"] == "ok"),
        key=lambda row: (row["pronunciation_accuracy"], row["pronunciation_margin"]),
    )
    assert cards[0] == f"u-{worst['utterance']}"
    assert "5 failed utterances count here too" in page.words
    assert "is shown above" in page.words
    assert 5 <= len(cards) <= 20
    links = {a["href"][1:] for a in page.all("a") if a["href"].startswith("#u-")}
    assert links == set(cards), "links lead to cards that exist, and each card is linked from the table"


def test_what_was_heard_is_marked(page: Page, html: str) -> None:
    assert "<del>lakh</del> <ins>lack</ins>" in html
    assert "<ins>super money in</ins>" in html


def test_the_table_links_to_every_stored_clip(fake_run: Any, page: Page) -> None:
    links = [a["href"] for a in page.all("a") if a.get("class") == "play"]
    assert links == [row["audio"] for row in fake_run.rows if row["audio"]]


def test_embedded_audio_stays_within_the_budget(fake_run: Any, html: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def embedded(page: str) -> list[str]:
        return re.findall(r"data:audio/flac;base64,[^\"]+", page)

    assert sum(map(len, embedded(html))) <= BUDGET
    small = 3 * max(map(len, embedded(html)))
    monkeypatch.setattr("reports.html.ClipReader", lambda folder: reports.clips.ClipReader(folder, budget=small))
    page = render_html(fake_run.manifest, fake_run.summary, fake_run.rows, fake_run.folder)
    assert 0 < len(embedded(page)) < len(embedded(html))
    assert sum(map(len, embedded(page))) <= small
    assert "Not embedded, to keep this page small." in page


def test_audio_that_is_gone_does_not_break_the_page(fake_run: Any, tmp_path: Path) -> None:
    page = render(fake_run, folder=tmp_path)
    assert ".flac is missing." in page.words
    assert not [a for a in page.all("audio") if "src" in a]


def test_accessible_structure(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels)), "no level is skipped"
    assert all(image["alt"] for image in page.all("img"))
    assert all("aria-label" in svg or svg.get("aria-hidden") == "true" for svg in page.all("svg"))
    assert all("scope" in header for header in page.all("th"))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert page.all("html")[0]["lang"] == "en"


def test_existing_audio_without_text_or_engine(fake_run: Any) -> None:
    """What `score` on a folder of clips writes: no checkpoint, engine, text, tags, or judges that need them."""
    kept = {"dnsmos_ovrl", "duration_s"}
    rows = [
        {
            key: value
            for key, value in row.items()
            if key in kept or key in ("utterance", "status", "audio", "sample_rate")
        }
        | {"reason": None, "text": None, "spoken": None, "read": None, "phonemes": None, "tags": [], "missing": {}}
        for row in fake_run.rows
        if row["status"] == "ok"
    ]
    summary = fake_run.summary | {
        "columns": {name: fake_run.summary["columns"][name] for name in kept},
        "corpus": {}, "tags": {}, "judges": {}, "baseline": None, "reference": None, "suite": None, "model": None,
    }  # fmt: skip
    manifest = fake_run.manifest | {"engine": None, "checkpoint": None, "suite": None, "passports": {}}
    page = render(fake_run, rows=rows, summary=summary, manifest=manifest)
    assert "existing audio" in page.words
    assert "Coverage is short" not in page.words
    assert "#tags" not in [a["href"] for a in page.all("a")]
    assert not re.search(r"\bnone\b", page.words, re.I)


def test_a_run_in_which_everything_failed(fake_run: Any) -> None:
    rows = [row for row in fake_run.rows if row["status"] == "failed"]
    summary = fake_run.summary | {"columns": {}, "corpus": {}, "tags": {}, "baseline": None}
    page = render(fake_run, rows=rows, summary=summary)
    assert "1 utterance failed" in page.words
    assert "There are no scores to rank." in page.words


@pytest.mark.parametrize(
    "verdict", ["worse than the baseline", {"answer": "no", "rules": [{"rule": "wer", "passed": False}]}]
)
def test_a_verdict_is_shown_when_there_is_one(fake_run: Any, page: Page, verdict: object) -> None:
    assert "Verdict" not in page.words
    assert "Verdict" in render(fake_run, summary=fake_run.summary | {"verdict": verdict}).words


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str) -> None:
    """Text reaches 4.5 to 1 (WCAG AA) on the paper that it stands on."""
    css = (Path(reports.__file__).parent / "assets" / "report.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.S)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[0] + (blocks[1] if scheme == "dark" else "")))

    def luminance(name: str) -> float:
        channels = [int(colours[name][k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    papers = {
        "paper": "ink quiet accent good bad missed", "raised": "ink quiet accent", "extra-paper": "ink",
        "bad-paper": "bad ink quiet", "warn-paper": "warn ink",
    }  # fmt: skip
    for paper, inks in papers.items():
        for ink in inks.split():
            light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{ink} on {paper}"


def test_importing_reports_is_light_and_stays_a_leaf() -> None:
    code = (
        "import sys, socket; socket.socket = None; import reports;"
        "heavy = {'evalkit', 'metrics', 'torch', 'numpy', 'jinja2', 'PIL', 'soundfile', 'rich'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

"""An inspection in a terminal and on a page: every number printed, nothing from a file trusted."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from reports.heatmap import heat_map, terminal_heatmaps
from reports.inspection_page import render_inspection
from reports.inspection_terminal import terminal_inspection
from reports.inspection_text import facts, printable, size_text

HOSTILE = """<script>document.title = "owned"</script> & 'quotes' [bold]"""


NORM = {"weight_norm": "both", "folded": 3}


def checkpoint(name: str, **changes: Any) -> dict[str, Any]:
    found = {
        "name": name,
        "path": f"/voices/{name}.pth",
        "format": "pth",
        "files": [{"path": f"/voices/{name}.pth", "bytes": 3_300_000, "sha256": "ab" * 32}],
        "fingerprint": "cd" * 32,
        "spelling": {"nesting": "flat", "wrapper": ["net"], "prefixes": {"module.": 2}, **NORM},
        "engine": None,
        "system": "Kokoro",
        "tensors": 12,
        "parameters": 1234,
        "sections": [{"name": HOSTILE, "tensors": 9, "parameters": 1234, "dtypes": {"float16": 9}}],
        "contents": {
            "dtypes": {"float16": 12},
            "non_finite": [{"key": HOSTILE, "nan": 1, "inf": 2}],
            "zeros": ["a.b"],
            "constant": [],
            "tied": [["a.w", "b.w"]],
            "equal": [],
        },
        "extra": {"note": HOSTILE, "turn": "\x1b[2J\u202e\udc80"},
        "provenance": None,
        "judgements": [{"level": "problem", "topic": "numbers", "says": f"1 tensor(s) hold NaN: {HOSTILE}."}],
    }  # fmt: skip
    return found | changes


def group(name: str, models: list[str], pairs: list[tuple[str, str]], value: float | None = 0.25) -> dict[str, Any]:
    vector = {"elements": 10, "norm": 1.5, "relative_norm": value, "moved": 0.5, "mean_abs": 0.01, "max_abs": 0.5}
    pair = {
        "cosine": value and -value,
        "distance": value,
        "both_moved": 9,
        "conflict": value,
        "weighted_conflict": value and 0.5 + value,
        "standard_error": 0.01,
    }
    return {
        "name": name,
        "parameters": 1234,
        "vectors": [{"model": model, **vector} for model in models],
        "pairs": [{"first": first, "second": second, **pair} for first, second in pairs],
    }


def inspection(models: list[str], base: str | None = "root", layers: int = 3) -> dict[str, Any]:
    """Made-up figures: the layer n has a relative norm of n / 10."""
    pairs = [(a, b) for place, a in enumerate(models) for b in models[place + 1 :]]
    partner = {
        "shared": 9,
        "shared_parameters": 1234,
        "base_parameters": 1234,
        "missing": [HOSTILE],
        "unknown": [],
        "mismatched": [{"key": HOSTILE, "base": [2, 3], "model": [3, 2]}],
        "respelled": 4,
        "prefix": None,
        "integers": [],
        "non_finite": [],
    }
    named = [group(f"enc.{n}.{HOSTILE}" if n == 1 else f"enc.{n}", models, pairs, n / 10) for n in range(layers)]
    return {
        "evalkit": "0.1.0",
        "created": "2026-11-28T12:00:00+00:00",
        "checkpoints": [checkpoint(name) for name in [*([base] if base else []), *models]],
        "vectors": {
            "base": base,
            "base_non_finite": [],
            "models": models,
            "partners": [{"model": model, **partner} for model in models],
            "overall": group("all", models, pairs),
            "sections": [group("enc", models, pairs), group("empty", models, pairs, None)],
            "layers": named,
            "judgements": [
                {"level": "ok", "topic": "base", "says": "All come from root."},
                {"level": "caution", "topic": "distance", "says": f"{HOSTILE} went far."},
            ],
        },
    }


def alone(**changes: Any) -> dict[str, Any]:
    return {
        "evalkit": "0.1.0",
        "created": "2026-11-28T12:00:00+00:00",
        "checkpoints": [checkpoint("a", **changes)],
        "vectors": None,
    }


def printed(found: dict[str, Any], width: int = 140, layers: str = "auto", colour: bool = False) -> str:
    stream = StringIO()
    console = Console(file=stream, width=width, force_terminal=colour, color_system="truecolor" if colour else None)
    console.print(terminal_inspection(found, width, layers), highlight=False)
    return stream.getvalue()


def test_the_map_says_in_numbers_what_it_says_in_colours() -> None:
    heat = heat_map(inspection(["a", "b"])["vectors"], inspection(["a", "b"])["vectors"]["layers"])
    assert heat.headings == (("norm", "a"), ("norm", "b"), ("cosine", "a", "b"), ("conflict", "a", "b"))
    cells = heat.rows[2][2]
    assert [cell.text for cell in cells] == ["0.200", "0.200", "-0.20", "0.70"]
    assert [cell.tone for cell in cells] == ["warm"] * 4
    assert cells[3].strength == pytest.approx(0.4)


def test_what_agrees_is_cool_and_what_is_missing_is_a_dash() -> None:
    vectors = inspection(["a", "b"])["vectors"]
    one = group("g", ["a", "b"], [("a", "b")])
    one["pairs"][0] |= {"cosine": 0.5, "weighted_conflict": 0.1}
    (row,) = heat_map(vectors, [one]).rows
    assert [cell.tone for cell in row[2][2:]] == ["cool", "cool"]
    (row,) = heat_map(vectors, [group("g", ["a", "b"], [("a", "b")], None)]).rows
    assert {(cell.text, cell.tone) for cell in row[2]} == {("–", "none")}


def test_without_a_base_a_pair_has_a_cosine_and_a_distance() -> None:
    vectors = inspection(["a", "b"], None)["vectors"]
    assert heat_map(vectors, vectors["layers"]).headings == (("cosine", "a", "b"), ("distance", "a", "b"))
    assert "Weights, without a base" in printed(inspection(["a", "b"], None))


@pytest.mark.parametrize("width", [100, 140])
@pytest.mark.parametrize("models", [1, 2, 6])
def test_a_map_fits_its_width_and_loses_no_column(width: int, models: int) -> None:
    names = [f"a-model-{n}" for n in range(models)]
    vectors = inspection(names)["vectors"]
    tables = terminal_heatmaps("By layer", heat_map(vectors, vectors["layers"]), width)
    stream = StringIO()
    console = Console(file=stream, width=1000, color_system=None)
    for table in tables:
        console.print(table)
    text = stream.getvalue()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    columns = models + models * (models - 1)
    assert sum(len(table.columns) - 2 for table in tables) == columns
    assert text.count("0.200") == models and text.count("-0.20") == models * (models - 1) // 2


def test_colours_are_an_addition_to_the_numbers() -> None:
    plain, coloured = printed(inspection(["a", "b"])), printed(inspection(["a", "b"]), colour=True)
    assert "\x1b[" not in plain and re.search(r"\x1b\[30;48;2;\d+;\d+;\d+m", coloured)
    stripped = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert stripped.split() == plain.split()


def test_long_lists_of_layers_are_folded() -> None:
    many = inspection(["a", "b"], layers=60)
    assert "enc.59" not in printed(many) and "60 layers are folded into sections" in printed(many)
    assert "enc.59" in printed(many, layers="all")
    few = inspection(["a", "b"])
    assert "By layer" in printed(few) and "By layer" not in printed(few, layers="sections")


def test_the_terminal_gets_no_control_characters_and_no_markup() -> None:
    for found in (alone(), inspection(["a", "b"])):
        text = printed(found)
        assert not {"\x1b", "\u202e", "\udc80"} & set(text)
        assert "[bold]" in text
    assert "\\x1b[2J\\u202e\\udc80" in printed(alone())


def test_judgements_stand_in_the_terminal_and_on_the_page_the_worst_first() -> None:
    found = inspection(["a", "b"])
    assert "All come from root." in printed(found)
    levels = re.findall(r'<div class="level-(\w+)">', render_inspection(found))
    assert levels == ["problem"] * 3 + ["caution", "ok"]


def test_the_facts_of_a_checkpoint_are_all_there() -> None:
    lines = dict(facts(checkpoint("a")))
    assert lines["file"] == "/voices/a.pth (pth, 3.3 MB)"
    assert lines["sha256"] == "ab" * 32 and lines["fingerprint"] == "cd" * 32
    assert lines["engine"] == "none installed, looks like Kokoro"
    assert (
        lines["layout"]
        == "flat names, inside net, 'module.' before 2 names, weight norm in both spellings on 3 tensors"
    )
    assert lines["tied"] == "1: a.w = b.w" and lines["all zero"] == "1: a.b" and lines["merge record"] == "none"


RECORD = {
    "evalkit": "0.1.0",
    "created": "2026-11-28T12:00:00+00:00",
    "recipe": {"method": "ties", "models": [{"path": "sarah.pth", "weight": 0.6}], "note": HOSTILE},
    "parents": [{"name": "sarah", "path": "sarah.pth", "sha256": "ef" * 32}, "no parent"],
}


@pytest.mark.parametrize(("matches", "said"), [(True, "of this very file"), (False, "OF ANOTHER FILE")])
def test_a_merge_record_shows_recipe_and_parents(matches: bool, said: str) -> None:
    provenance = {"source": "a.pth.merge.json", "record": RECORD, "matches": matches}
    lines = facts(checkpoint("a", provenance=provenance))
    assert ("merge record", f"a.pth.merge.json, {said}") in lines
    assert ("recipe method", "ties") in lines and ("recipe models.0.weight", "0.6") in lines
    assert ("parent", f"sarah: sarah.pth, sha256 {'ef' * 32}") in lines
    page = render_inspection(alone(provenance=provenance))
    assert "recipe models.0.weight" in page and "<script" not in page


@pytest.mark.parametrize("part", [None, 7, [1], {"a": None}])
def test_a_record_of_any_shape_can_be_shown(part: object) -> None:
    record = {"recipe": part, "parents": part, "evalkit": part, "created": part}
    provenance = {"source": "x", "record": record, "matches": None}
    assert "merge record" in printed(alone(provenance=provenance))
    assert "merge record" in render_inspection(alone(provenance=provenance))


def test_a_file_name_that_is_no_valid_text_can_be_shown() -> None:
    found = inspection(["caf\udce9", "b"], "r\udce9")
    render_inspection(found).encode()
    printed(found).encode()


PAGES = {"alone": alone(), "vectors": inspection(["a", "b"]), "weights": inspection(["a", "b"], None)}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_needs_nothing_else_and_runs_nothing(name: str) -> None:
    page = render_inspection(PAGES[name])
    assert "<script" not in page and "&lt;script&gt;" in page
    assert not re.search(r"(?:src|href)=[\"'](?!#)", page)
    assert "url(" not in page and "@import" not in page
    assert "script-src" not in page and "default-src 'none'" in page
    page.encode()  # no half characters


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_well_formed_with_one_cell_under_each_heading(name: str) -> None:
    class Checker(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open_tags: list[str] = []
            self.rows: list[int] = []
            self.widths: list[set[int]] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "table":
                self.widths.append(set())
            if tag == "tr":
                self.rows.append(0)
            if tag in ("td", "th"):
                self.rows[-1] += 1
            if tag not in ("meta", "wbr", "br"):
                self.open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open_tags.pop() == tag
            if tag == "tr":
                self.widths[-1].add(self.rows[-1])

    checker = Checker()
    checker.feed(render_inspection(PAGES[name]))
    assert checker.open_tags == []
    assert checker.widths and all(len(widths) == 1 for widths in checker.widths)


def test_cells_of_the_page_have_colour_and_number() -> None:
    page = render_inspection(inspection(["a", "b"]))
    assert '<td class="num warm" style="--heat: 22%">0.200</td>' in page
    assert '<td class="num warm" style="--heat: 20%">0.70</td>' in page


def test_names_that_do_not_meet_are_listed_but_not_by_the_thousand() -> None:
    found = inspection(["a", "b"])
    found["vectors"]["partners"][0]["missing"] = [f"key.{n}" for n in range(5000)]
    page = render_inspection(found)
    assert "key.199<" in page and "key.200<" not in page and "and 4800 more" in page
    assert "base [2, 3], model [3, 2]" in page


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (999_600, "1.0 MB"), (2_500_000_000, "2.5 GB")]
)
def test_sizes_have_two_digits_or_three(count: int, text: str) -> None:
    assert size_text(count) == text


def test_printable_text_stays_as_it_is() -> None:
    assert printable("नमस्ते decoder.blocks.0") == "नमस्ते decoder.blocks.0"
    assert printable("a\nb\x00") == "a\\nb\\x00"


@pytest.mark.browser
@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_window(tmp_path: Path, name: str, width: int) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on PATH")
    probe = "<script>document.title = document.documentElement.scrollWidth - window.innerWidth</script></body>"
    page = re.sub(r"<meta http-equiv[^>]*>", "", render_inspection(PAGES[name])).replace("</body>", probe)
    (tmp_path / "page.html").write_text(page.replace("<details>", "<details open>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
    done = subprocess.run(
        [browser, *options, f"file://{tmp_path}/page.html"], capture_output=True, text=True, timeout=120, check=True
    )
    (title,) = re.findall(r"<title>(-?\d+)</title>", done.stdout)
    assert int(title) <= 0

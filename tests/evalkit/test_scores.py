"""One side of a comparison, read from a run or from a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from compared_runs import made_rows, made_run

from evalkit.decisions.scores import open_scores, pooled
from evalkit.errors import EvalkitError

TABLE = """item,repeat,status,tags,dnsmos_ovrl,taste
a,0,ok,speaker:1 kind:name,3.5,1
a,1,ok,speaker:1 kind:name,3.7,
b,0,silent,speaker:2,,2
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table(tmp_path: Path) -> None:
    scores = open_scores(written(tmp_path, "\ufeff" + TABLE))
    assert (scores.name, scores.run, scores.manifest, scores.folder) == ("table", "table.csv", None, None)
    assert scores.values("dnsmos_ovrl") == {"a": [3.5, 3.7]}
    assert scores.speakers() == {"a": "1", "b": "2"}
    assert (scores.coverage["ok"], scores.coverage["planned"]) == (2, 3)
    assert (scores.columns["dnsmos_ovrl"].better, scores.columns["dnsmos_ovrl"].unit) == ("higher", "MOS")
    assert scores.columns["taste"].better == "neither", "what nobody declared has no direction"
    assert scores.tagged("kind:name").values("taste") == {"a": [1.0]}
    assert scores.counts("wer_corpus") == {} and scores.corpora() == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,mos\na,1\n", "no column 'item'"),
        ("item,mos\n", "holds no scores"),
        ("item,tags\na,x\n", "holds no scores"),
        ("item,mos\n,1\n", "line 2: the column 'item' is empty"),
        ("item,mos\na,1\nb,good\n", "line 3: 'good' in the column 'mos' is no number"),
        ("item,mos\na,nan\n", "line 2: the column 'mos' is nan"),
        ("item,mos\na,inf\n", "leave a missing value empty"),
        ("item,mos\na,1\nb,2,95\n", "table.csv line 3: there are 3 cells under 2 columns; write decimals with a point"),
        ("item,mos,mos\na,1,2\n", "table.csv line 1: two columns are called 'mos'"),
        ("item,mos\na,1\nb,2\na,3\n", "table.csv line 4: the item 'a' stood in line 2 already"),
        ("item,repeat,mos\na,0,1\na,,3\n", "line 3: the item 'a' stood in line 2"),
        ("item,wer,wer_corpus\na,0.1,0.5\n", "table.csv line 1: 'wer_corpus' is a figure of a whole run"),
        ("item,mos,\na,1,2\n", "line 2: '2' stands in a column without a name"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(EvalkitError, match=words):
        open_scores(written(tmp_path, text))


def test_no_table_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="cannot be read"):
        open_scores(tmp_path / "nothing.csv")
    (tmp_path / "binary.csv").write_bytes(b"item,\xff\xfe\n")
    with pytest.raises(EvalkitError, match="cannot be read"):
        open_scores(tmp_path / "binary.csv")


def test_a_run(tmp_path: Path) -> None:
    path = made_run(tmp_path, "model", made_rows(6, errors=[2], failed=[5], repeats=2))
    scores = open_scores(path)
    assert (scores.name, scores.run, scores.folder) == ("model", path.name, path)
    assert len(scores.values("dnsmos_ovrl")) == 5 and all(len(v) == 2 for v in scores.values("wer").values())
    assert scores.counts("wer_corpus")["i00"] == (4, 12), "summed over repeats"
    assert scores.counts("wer_corpus")["i05"] == (12, 12), "what failed has every word wrong"
    assert list(scores.corpora()) == ["wer_corpus"]
    assert pooled("wer_corpus") and not pooled("wer") and not pooled("my_corpus")
    assert {row["item"] for row in scores.tagged("half:first").rows} == {"i00", "i01", "i02"}


@pytest.mark.parametrize("name", ["manifest.json", "summary.json"])
@pytest.mark.parametrize("content", ["{}", '{"suite": 1, "model": "m", "coverage": [], "columns": {"wer": {}}}'])
def test_a_run_whose_files_are_json_and_nothing_else_is_named(tmp_path: Path, name: str, content: str) -> None:
    path = made_run(tmp_path, "model", made_rows(6))
    (path / name).write_text(content)
    with pytest.raises(EvalkitError, match=rf"{name} is damaged, it has no proper '.*': move the run folder away"):
        open_scores(path)


def test_what_says_nothing_in_a_table_is_passed_over(tmp_path: Path) -> None:
    text = "item,repeat,mos,\na,,1,\n\nb,0,2\nb,1,3,\n"  # a comma at the end, an empty line, a short line
    assert open_scores(written(tmp_path, text)).values("mos") == {"a": [1.0], "b": [2.0, 3.0]}

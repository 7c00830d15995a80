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

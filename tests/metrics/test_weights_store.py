"""Finding judges on disk: by name, by path, by lock file."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from weights_judges import publish_whisper

from metrics.weights import catalogue, fetch_line, find, require
from metrics.weights.catalogue import KINDS, missing_carrier, names, package_table, parse
from metrics.weights.lock import Record, record


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("EVALKIT_JUDGES", str(tmp_path / "judges"))
    monkeypatch.delenv("EVALKIT_JUDGES_LOCK", raising=False)
    yield tmp_path / "judges"
    catalogue.package_table.cache_clear()


def put(folder: Path, **files: bytes) -> dict[str, str]:
    """Write files ("config.yaml" is spelled config_yaml); their digests."""
    folder.mkdir(parents=True, exist_ok=True)
    digests = {}
    for key, content in files.items():
        name = ".".join(key.rsplit("_", 1))
        (folder / name).write_bytes(content)
        digests[name] = sha(content)
    return digests


def test_addresses_and_digests_of_whisper_are_those_of_the_installed_package() -> None:
    whisper = pytest.importorskip("whisper")
    table = package_table("whisper", "__init__.py", "_MODELS")
    assert table == whisper._MODELS
    for name, address in table.items():
        judge = parse(f"whisper:{name}")
        assert judge.address == address
        assert dict(judge.sha256) == {address.split("/")[-1]: address.split("/")[-2]}
    assert parse("whisper:large").id == "whisper:large-v3"
    assert parse("whisper:turbo").id == "whisper:large-v3-turbo"
    assert {"tiny.en", "base.en", "large-v3-turbo"} <= set(names("whisper"))
    assert not {"large", "turbo"} & set(names("whisper"))


def test_repositories_of_faster_whisper_are_those_of_the_installed_package() -> None:
    if problem := missing_carrier("faster-whisper"):
        pytest.skip(problem)
    table = package_table("faster_whisper", "utils.py", "_MODELS")
    assert parse("faster-whisper:base.en").repository == table["base.en"] == "Systran/faster-whisper-base.en"
    assert parse("faster-whisper:turbo").id == "faster-whisper:large-v3-turbo"


def test_every_judge_of_the_catalogue_parses_and_names_a_source() -> None:
    judges = [parse(f"{kind}:{name}") for kind in KINDS for name in names(kind)]
    assert len({judge.id for judge in judges}) == len(judges) >= 15
    for judge in judges:
        assert judge.source.startswith("https://")
        assert (judge.address is None) != (judge.repository is None)
        assert any(part.required for part in judge.parts)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("whisper:bas.en", "did you mean 'whisper:base.en'"),
        ("wespeaker:resnet34", "did you mean 'wespeaker:resnet34-lm'"),
        ("resnet34-lm", "Unknown judge 'resnet34-lm'"),
        ("qqq:zzz", "evalkit fetch --list shows what there is"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(name)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "whisper", None)
    monkeypatch.setattr("metrics.packages.find_spec", lambda package: None)
    assert find("whisper", "base.en") is None
    for call in (lambda: parse("whisper:base.en"), lambda: require("whisper", "base.en")):
        with pytest.raises(ValueError, match=r"needs the package whisper: pip install 'evalkit\[standard\]'"):
            call()


def test_a_published_judge_is_found_by_name_and_alias_and_checked_when_required(
    judges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_whisper(monkeypatch, tmp_path, b"weights", "https://example.org")
    assert find("whisper", "tiny.en") is None
    with pytest.raises(ValueError, match=r"^The judge whisper:tiny\.en is not on this machine: run evalkit fetch wh"):
        require("whisper", "alias")
    put(judges / "whisper" / "tiny.en", **{"tiny.en_pt": b"weights"})
    weights = require("whisper", "alias")
    assert weights == find("whisper", "tiny.en")
    assert weights.name == "whisper:tiny.en"
    assert weights.path == judges / "whisper" / "tiny.en" / "tiny.en.pt"
    assert dict(weights.sha256) == {"tiny.en.pt": sha(b"weights")}
    assert weights.revision is None
    weights.path.write_bytes(b"another")
    assert find("whisper", "tiny.en") is not None  # reads no weights
    with pytest.raises(ValueError, match=r"was published or recorded .* evalkit fetch whisper:tiny\.en"):
        require("whisper", "tiny.en")


def test_a_recorded_judge_needs_its_record_and_all_its_files(judges: Path) -> None:
    folder = judges / "wespeaker" / "resnet34-lm"
    digests = put(folder, avg_model_pt=b"model", config_yaml=b"config")
    assert find("wespeaker", "resnet34-lm") is None
    entry = Record(source="https://example.org", revision="c0ffee", sha256=digests)
    record("wespeaker:resnet34-lm", entry, judges / "judges.lock")
    weights = require("wespeaker", "resnet34-lm")
    assert (weights.path, weights.revision, dict(weights.sha256)) == (folder, "c0ffee", digests)
    (folder / "config.yaml").write_bytes(b"changed")
    with pytest.raises(ValueError, match=r"config\.yaml has sha256"):
        require("wespeaker", "resnet34-lm")
    (folder / "config.yaml").unlink()
    assert find("wespeaker", "resnet34-lm") is None


def test_the_committed_lock_file_decides(judges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = put(judges / "wespeaker" / "resnet34-lm", avg_model_pt=b"model", config_yaml=b"config")
    record("wespeaker:resnet34-lm", Record(source="here", sha256=digests), judges / "judges.lock")
    committed = tmp_path / "repository" / "judges.lock"
    record("wespeaker:resnet34-lm", Record(source="there", sha256={**digests, "avg_model.pt": "0" * 64}), committed)
    assert require("wespeaker", "resnet34-lm")
    monkeypatch.setenv("EVALKIT_JUDGES_LOCK", str(committed))
    with pytest.raises(ValueError, match=r"avg_model\.pt has sha256"):
        require("wespeaker", "resnet34-lm")


def test_records_of_other_judges_stay_and_the_file_is_sorted(tmp_path: Path) -> None:
    path = tmp_path / "judges.lock"
    for name in ("b:two", "a:one"):
        record(name, Record(source="s", sha256={"f": "1" * 64}), path)
    record("b:two", Record(source="s", revision="r", sha256={"f": "2" * 64}), path)
    content = json.loads(path.read_text())
    assert list(content["judges"]) == ["a:one", "b:two"]
    assert content["judges"]["b:two"] == {"source": "s", "revision": "r", "sha256": {"f": "2" * 64}}
    assert [file.name for file in tmp_path.iterdir()] == ["judges.lock"]


@pytest.mark.parametrize(
    "content",
    [
        "not JSON",
        '{"format": 2, "judges": {}}',
        '{"judges": {"a:b": {"source": "s", "sha256": {"../../etc/passwd": "%s"}}}}' % ("0" * 64),
        '{"judges": {"a:b": {"source": "s", "sha256": {"f": "short"}}}}',
    ],
)
def test_a_broken_lock_file_is_an_error_that_names_it(judges: Path, content: str) -> None:
    judges.mkdir()
    (judges / "judges.lock").write_text(content)
    with pytest.raises(ValueError, match=r"lock file .*judges\.lock cannot be read"):
        find("wespeaker", "resnet34-lm")


def test_a_users_file_is_named_by_its_base_name_and_digest(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        put(tmp_path / folder, mine_pt=b"my weights")
    here, there = (require("whisper", str(tmp_path / folder / "mine.pt")) for folder in ("here", "there"))
    assert here.name == there.name == f"mine.pt@{sha(b'my weights')[:12]}"
    assert dict(here.sha256) == {"mine.pt": sha(b"my weights")}
    assert here.path == tmp_path / "here" / "mine.pt"


def test_a_users_folder_is_named_by_all_that_it_holds(tmp_path: Path) -> None:
    digests = put(tmp_path / "model", avg_model_pt=b"model", config_yaml=b"config")
    (tmp_path / "model" / "nested").mkdir()
    (tmp_path / "model" / "nested" / "more.bin").write_bytes(b"more")
    (tmp_path / "model" / ".cache").mkdir()
    (tmp_path / "model" / ".cache" / "noise").write_bytes(b"noise")
    weights = require("wespeaker", str(tmp_path / "model"))
    assert dict(weights.sha256) == {**digests, "nested/more.bin": sha(b"more")}
    assert weights.name.startswith("model@")
    (tmp_path / "model" / "config.yaml").write_bytes(b"changed")
    changed = require("wespeaker", str(tmp_path / "model"))
    assert changed.name != weights.name


def test_a_folder_that_holds_nothing_or_everything_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="holds no files"):
        find("wespeaker", str(tmp_path))
    put(tmp_path, a_pt=b"a", b_pt=b"b", c_pt=b"c")
    monkeypatch.setattr("metrics.weights.store.MOST_FILES", 2)
    with pytest.raises(ValueError, match="more than 2 files"):
        find("wespeaker", str(tmp_path))


def test_a_name_wins_over_a_file_of_that_name(judges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet34-lm").write_bytes(b"a file that happens to be called so")
    assert find("wespeaker", "resnet34-lm") is None
    assert find("wespeaker", "./resnet34-lm") is not None


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "nothing.pt")
    assert find("whisper", missing) is None
    with pytest.raises(ValueError, match=r"No file or folder .*nothing\.pt, and no judge of that name"):
        require("whisper", missing)


def test_fetch_line() -> None:
    assert fetch_line("whisper", "turbo") == "evalkit fetch whisper:large-v3-turbo"
    assert fetch_line("wespeaker", "resnet34-lm") == "evalkit fetch wespeaker:resnet34-lm"


def test_finding_and_requiring_touch_no_network(judges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **keywords: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", forbidden)
    assert find("whisper", "base.en") is None
    assert find("wav2vec2", "lv-60-espeak") is None
    for kind, name in (("whisper", "base.en"), ("wespeaker", "resnet221-lm"), ("faster-whisper", "tiny")):
        with pytest.raises(ValueError, match=f"run evalkit fetch {kind}:{name}"):
            require(kind, name)

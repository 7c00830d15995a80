"""Fetching judges: sources, digests, lock files, two at once, killed in the middle."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from weights_judges import Recorder, judge_on_the_hub, publish_whisper
from weights_server import WeightsServer, serve

from metrics.weights import catalogue, find, require
from metrics.weights import download as download_module
from metrics.weights.catalogue import Judge, Part, parse
from metrics.weights.fetch import State, fetch
from metrics.weights.lock import recorded

WEIGHTS = random.Random(1).randbytes(200_000)
OTHER = random.Random(2).randbytes(200_000)
COMMIT, NEWER = "a" * 40, "b" * 40
PARTS = (
    Part(("avg_model.pt", "network.pt"), stored="avg_model.pt"),
    Part(("config.yaml",)),
    Part(("extra.json",), required=False),
)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("EVALKIT_JUDGES", str(tmp_path / "judges"))
    for name in ("EVALKIT_JUDGES_LOCK", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download_module, "WAIT_S", 0.0)
    yield tmp_path / "judges"
    catalogue.package_table.cache_clear()


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with serve(WeightsServer()) as running:
        yield running


@pytest.fixture
def whisper(server: WeightsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """A judge whose digest is published with its address."""
    server.files[publish_whisper(monkeypatch, tmp_path, WEIGHTS, server.address)] = WEIGHTS
    return parse("whisper:tiny.en")


@pytest.fixture
def hub(server: WeightsServer, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """A judge of a stand-in for Hugging Face."""
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    server.repositories["them/small"] = {COMMIT: {"network.pt": WEIGHTS, "config.yaml": b"model: small\n"}}
    return judge_on_the_hub(monkeypatch, *PARTS)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_published_judge_is_fetched_checked_and_then_left_alone(
    server: WeightsServer, whisper: Judge, judges: Path
) -> None:
    progress = Recorder()
    first = fetch(whisper, progress)
    assert first.state is State.fetched
    assert first.weights.path.read_bytes() == WEIGHTS
    assert first.weights == require("whisper", "tiny.en")
    assert progress.begun == ["tiny.en.pt"]
    assert left(judges / "whisper" / "tiny.en") == ["tiny.en.pt"]
    asked = len(server.requests)
    assert fetch(whisper, Recorder()).state is State.present
    assert len(server.requests) == asked
    assert not (judges / "judges.lock").exists()  # the package that publishes the address publishes the digest


def test_wrong_bytes_are_removed_and_never_used(server: WeightsServer, whisper: Judge, judges: Path) -> None:
    path = next(iter(server.files))
    server.files[path] = OTHER
    with pytest.raises(ValueError, match=rf"{sha(OTHER)[:12]}, and {sha(WEIGHTS)[:12]} is the one published"):
        fetch(whisper, Recorder())
    assert left(judges / "whisper" / "tiny.en") == []
    assert find("whisper", "tiny.en") is None
    assert len(server.ranges_of(path)) == 1  # a whole file that is wrong is not downloaded twice


def test_a_resumed_file_that_turns_out_wrong_is_tried_once_from_the_start(
    server: WeightsServer, whisper: Judge, judges: Path
) -> None:
    path = next(iter(server.files))
    folder = judges / "whisper" / "tiny.en"
    folder.mkdir(parents=True)
    (folder / "tiny.en.pt.part").write_bytes(OTHER[:70_000])
    (folder / "tiny.en.pt.part.json").write_text(json.dumps({"address": server.address + path, "validator": ""}))
    assert fetch(whisper, Recorder()).state is State.fetched
    assert server.ranges_of(path) == ["bytes=70000-", None]
    assert left(folder) == ["tiny.en.pt"]


def test_a_file_that_changed_on_disk_is_fetched_again(server: WeightsServer, whisper: Judge) -> None:
    weights = fetch(whisper, Recorder()).weights
    weights.path.write_bytes(OTHER)
    with pytest.raises(ValueError, match=r"evalkit fetch whisper:tiny\.en"):
        require("whisper", "tiny.en")
    assert fetch(whisper, Recorder()).state is State.fetched
    assert require("whisper", "tiny.en").path.read_bytes() == WEIGHTS


def test_absent_at_its_own_address(server: WeightsServer, whisper: Judge) -> None:
    server.files.clear()
    with pytest.raises(ValueError, match=r"tiny\.en\.pt has no tiny\.en\.pt for whisper:tiny\.en: name another source"):
        fetch(whisper, Recorder())


def test_a_judge_of_hugging_face_is_recorded_with_its_commit(server: WeightsServer, hub: Judge, judges: Path) -> None:
    first = fetch(hub, Recorder())
    assert first.state is State.fetched
    assert first.weights.path == judges / "wespeaker" / "small"
    assert dict(first.weights.sha256) == {"avg_model.pt": sha(WEIGHTS), "config.yaml": sha(b"model: small\n")}
    assert first.weights.revision == COMMIT
    entry, _ = recorded("wespeaker:small", [judges / "judges.lock"]) or (None, None)
    assert entry is not None and entry.source == f"{server.address}/them/small"
    assert left(judges / "wespeaker" / "small") == ["avg_model.pt", "config.yaml"]
    assert require("wespeaker", "small") == first.weights


def test_an_optional_file_is_taken_where_there_is_one(server: WeightsServer, hub: Judge) -> None:
    server.repositories["them/small"][COMMIT] |= {"extra.json": b"{}", "unrelated.bin": b"no"}
    assert set(fetch(hub, Recorder()).weights.sha256) == {"avg_model.pt", "config.yaml", "extra.json"}


def test_a_committed_lock_brings_the_same_commit_and_bytes_to_another_machine(
    server: WeightsServer, hub: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = tmp_path / "repository" / "judges.lock"
    here = fetch(hub, Recorder(), committed=committed).weights
    content = committed.read_bytes()
    server.repositories["them/small"][NEWER] = {"network.pt": OTHER, "config.yaml": b"model: newer\n"}
    monkeypatch.setenv("EVALKIT_JUDGES", str(tmp_path / "another machine"))
    monkeypatch.setenv("EVALKIT_JUDGES_LOCK", str(committed))
    there = fetch(hub, Recorder()).weights
    assert (there.sha256, there.revision) == (here.sha256, COMMIT)
    assert committed.read_bytes() == content
    monkeypatch.delenv("EVALKIT_JUDGES_LOCK")
    assert require("wespeaker", "small") == there  # its own lock file says the same


def test_other_bytes_than_the_recorded_are_refused(
    server: WeightsServer, hub: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = tmp_path / "judges.lock"
    fetch(hub, Recorder(), committed=committed)
    monkeypatch.setenv("EVALKIT_JUDGES", str(tmp_path / "another machine"))
    server.repositories["them/small"][COMMIT]["config.yaml"] = b"model: tampered\n"
    with pytest.raises(ValueError, match=r"config\.yaml of wespeaker:small .* recorded in .*judges\.lock; it was remo"):
        fetch(hub, Recorder(), committed=committed)
    assert left(tmp_path / "another machine" / "wespeaker" / "small") == ["avg_model.pt"]
    assert find("wespeaker", "small") is None


def test_what_is_here_is_recorded_into_a_new_committed_lock_without_a_download(
    server: WeightsServer, hub: Judge, judges: Path, tmp_path: Path
) -> None:
    fetch(hub, Recorder())
    asked = len(server.requests)
    assert fetch(hub, Recorder(), committed=tmp_path / "judges.lock").state is State.present
    assert len(server.requests) == asked
    assert (tmp_path / "judges.lock").read_bytes() == (judges / "judges.lock").read_bytes()


def test_a_digest_published_by_hugging_face_is_checked_at_the_first_fetch(
    server: WeightsServer, hub: Judge, judges: Path
) -> None:
    # The listing speaks of the true file; the bytes are another's.
    server.files[f"/them/small/resolve/{COMMIT}/network.pt"] = OTHER
    with pytest.raises(ValueError, match=rf"network\.pt of wespeaker:small .*{sha(WEIGHTS)[:12]} .* published at http"):
        fetch(hub, Recorder())
    assert not (judges / "judges.lock").exists()


def test_a_repository_that_lacks_a_file_or_is_not_there(server: WeightsServer, hub: Judge) -> None:
    del server.repositories["them/small"][COMMIT]["network.pt"]
    with pytest.raises(ValueError, match=r"has no avg_model\.pt and no network\.pt for wespeaker:small"):
        fetch(hub, Recorder())
    server.repositories.clear()
    with pytest.raises(ValueError, match=r"Cannot reach http://127.*them/small .*HF_ENDPOINT .*--from"):
        fetch(hub, Recorder())


def test_a_token_goes_to_the_endpoint(server: WeightsServer, hub: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(hub, Recorder())
    asked = {path: headers.get("Authorization", headers.get("authorization")) for path, headers in server.requests}
    assert asked[f"/them/small/resolve/{COMMIT}/network.pt"] == "Bearer hf_secret"


@pytest.mark.parametrize("layout", ["judges folder", "flat", "published names"])
@pytest.mark.parametrize("over_http", [False, True])
def test_a_mirror_or_a_folder_stands_in(
    layout: str, over_http: bool, server: WeightsServer, hub: Judge, tmp_path: Path, judges: Path
) -> None:
    prefix = "wespeaker/small/" if layout == "judges folder" else ""
    weights = "network.pt" if layout == "published names" else "avg_model.pt"
    for name, content in ((weights, WEIGHTS), ("config.yaml", b"model: small\n")):
        server.files[f"/mirror/{prefix}{name}"] = content
        path = tmp_path / "mirror" / prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    mirror = f"{server.address}/mirror/" if over_http else str(tmp_path / "mirror")
    fetched = fetch(hub, Recorder(), mirror=mirror, offline=not over_http)
    assert dict(fetched.weights.sha256) == {"avg_model.pt": sha(WEIGHTS), "config.yaml": sha(b"model: small\n")}
    assert fetched.weights.revision is None
    entry = json.loads((judges / "judges.lock").read_text())["judges"]["wespeaker:small"]
    assert entry["source"] == (
        f"{server.address}/mirror/" if over_http else "a copy on disk"
    )  # no path of this machine
    assert not any(path.startswith(("/api", "/them")) for path, _ in server.requests)


def test_a_file_stands_in_for_a_judge_of_one_file(whisper: Judge, hub: Judge, tmp_path: Path) -> None:
    copy = tmp_path / "renamed.pt"
    copy.write_bytes(WEIGHTS)
    assert fetch(whisper, Recorder(), mirror=str(copy)).state is State.fetched
    with pytest.raises(ValueError, match="has several files, so give the folder"):
        fetch(hub, Recorder(), mirror=str(copy))


def test_the_address_of_the_file_itself_is_a_mirror(server: WeightsServer, whisper: Judge) -> None:
    server.files = {"/some/where/tiny.en.pt": WEIGHTS}
    fetch(whisper, Recorder(), mirror=f"{server.address}/some/where/tiny.en.pt")
    assert [path for path, _ in server.requests] == ["/some/where/tiny.en.pt"]


@pytest.mark.parametrize(
    ("mirror", "message"),
    [
        ("ftp://example.org/judges", "only http, https and paths"),
        ("file:///etc", "only http, https and paths"),
        ("nothing/here", "there is no such file or folder"),
    ],
)
def test_a_mirror_that_will_not_do(mirror: str, message: str, hub: Judge) -> None:
    with pytest.raises(ValueError, match=message):
        fetch(hub, Recorder(), mirror=mirror)


def test_offline_adopts_what_somebody_put_there(server: WeightsServer, hub: Judge, judges: Path) -> None:
    with pytest.raises(ValueError, match=r"avg_model\.pt is missing\), and --offline forbids to download it"):
        fetch(hub, Recorder(), offline=True)
    folder = judges / "wespeaker" / "small"
    (folder / "avg_model.pt").write_bytes(WEIGHTS)
    (folder / "config.yaml").write_bytes(b"model: small\n")
    assert find("wespeaker", "small") is None
    adopted = fetch(hub, Recorder(), offline=True)
    assert adopted.state is State.recorded
    assert require("wespeaker", "small") == adopted.weights
    assert fetch(hub, Recorder(), offline=True).state is State.present
    (folder / "config.yaml").write_bytes(b"changed")
    with pytest.raises(ValueError, match=r"config\.yaml does not have the sha256 that is recorded in .*--from FOLDER"):
        fetch(hub, Recorder(), offline=True)
    assert server.requests == []
    with pytest.raises(ValueError, match="--offline forbids --from http"):
        fetch(hub, Recorder(), mirror=server.address, offline=True)


def test_a_lock_of_a_newer_evalkit_is_said_to_be_one(server: WeightsServer, hub: Judge, tmp_path: Path) -> None:
    committed = tmp_path / "judges.lock"
    fetch(hub, Recorder(), committed=committed)
    content = json.loads(committed.read_text())
    content["judges"]["wespeaker:small"]["sha256"]["scaler.bin"] = "0" * 64
    committed.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"scaler\.bin of wespeaker:small is recorded in .*upgrade evalkit"):
        fetch(hub, Recorder(), committed=committed)


def test_two_at_once_wait_for_each_other_and_download_once(server: WeightsServer, hub: Judge) -> None:
    begun, go_on, waiting = threading.Event(), threading.Event(), threading.Event()

    class Slow(Recorder):
        def file(self, judge: Judge, name: str):  # type: ignore[no-untyped-def]
            begun.set()
            assert go_on.wait(20)
            return super().file(judge, name)

    class Second(Recorder):
        def waiting(self, judge: Judge) -> None:
            super().waiting(judge)
            waiting.set()

    results: list[State] = []
    threads = [threading.Thread(target=lambda: results.append(fetch(hub, Slow()).state))]
    threads[0].start()
    assert begun.wait(20)
    second = Second()
    threads.append(threading.Thread(target=lambda: results.append(fetch(hub, second).state)))
    threads[1].start()
    assert waiting.wait(20)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert results == [State.fetched, State.present]
    assert second.waited == ["wespeaker:small"]
    assert server.ranges_of(f"/them/small/resolve/{COMMIT}/network.pt") == [None]


def test_two_processes_record_different_judges_into_one_lock_file(server: WeightsServer, tmp_path: Path) -> None:
    names = [f"judge{number}" for number in range(6)]
    for name in names:
        server.files[f"/{name}.bin"] = name.encode()
    script = (
        "import sys, time; from weights_judges import Recorder; from metrics.weights.catalogue import Judge, Part\n"
        "from metrics.weights import lock; from metrics.weights.fetch import fetch\n"
        "read = lock._read\n"
        "lock._read = lambda path: (read(path), time.sleep(0.05))[0]  # long enough for the other to come between\n"
        "for name in sys.argv[2:]:\n"
        "    judge = Judge('wespeaker', name, (Part((f'{name}.bin',)),), repository='them/x')\n"
        "    fetch(judge, Recorder(), mirror=sys.argv[1])\n"
    )
    processes = [_python(script, server.address, *names[start::2]) for start in (0, 1)]
    assert [process.wait(60) for process in processes] == [0, 0]
    lock = json.loads((tmp_path / "judges" / "judges.lock").read_text())
    assert sorted(lock["judges"]) == [f"wespeaker:{name}" for name in names]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_keeps_the_part_and_goes_on_from_it(
    how: signal.Signals, server: WeightsServer, whisper: Judge, judges: Path
) -> None:
    path = next(iter(server.files))
    server.slow_after = 90_000
    script = (
        "import sys; from weights_judges import Recorder; from metrics.weights.catalogue import Judge, Part\n"
        "from metrics.weights.fetch import fetch\n"
        "judge = Judge('whisper', 'tiny.en', (Part(('tiny.en.pt',)),), address=sys.argv[1],"
        " sha256={'tiny.en.pt': sys.argv[2]})\n"
        "fetch(judge, Recorder())\n"
    )
    process = _python(script, server.address + path, sha(WEIGHTS))
    part = judges / "whisper" / "tiny.en" / "tiny.en.pt.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 50_000):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait(30) != 0
    arrived = part.stat().st_size
    assert 50_000 < arrived <= 90_000
    assert find("whisper", "tiny.en") is None
    server.slow_after = None
    assert fetch(whisper, Recorder()).weights.path.read_bytes() == WEIGHTS
    assert server.ranges_of(path) == [None, f"bytes={arrived}-"]
    assert left(judges / "whisper" / "tiny.en") == ["tiny.en.pt"]


def _python(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    support = str(Path(__file__).parents[1] / "support")
    environment = {**os.environ, "PYTHONPATH": support}
    return subprocess.Popen([sys.executable, "-c", script, *arguments], env=environment, stderr=subprocess.DEVNULL)

"""One file over HTTP: cut, slow, changed, missing, refused."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from weights_server import WeightsServer, serve

from metrics.weights import download as module
from metrics.weights.download import AbsentError, download

CONTENT = random.Random(0).randbytes(300_000)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with serve(WeightsServer(files={"/model.pt": CONTENT})) as running:
        yield running


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "model.pt.part"


class Arrivals(list[tuple[int, int | None]]):
    def __call__(self, done: int, total: int | None) -> None:
        self.append((done, total))


def interrupted(server: WeightsServer, part: Path, after: int) -> None:
    """Leave a part of `after` bytes, as a killed process does."""

    class KilledError(BaseException):
        pass

    def advance(done: int, total: int | None) -> None:
        if done >= after:
            raise KilledError

    server.closes_after = after
    with pytest.raises(KilledError):
        download(f"{server.address}/model.pt", part, advance)
    server.closes_after = None
    assert part.stat().st_size == after


def test_brings_the_whole_file_and_counts(server: WeightsServer, part: Path) -> None:
    arrivals = Arrivals()
    assert download(f"{server.address}/model.pt", part, arrivals) is False
    assert part.read_bytes() == CONTENT
    assert arrivals[0] == (0, len(CONTENT))
    assert arrivals[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in arrivals] == sorted(done for done, _ in arrivals)


def test_goes_on_after_each_cut(server: WeightsServer, part: Path) -> None:
    server.closes_after = 100_000
    assert download(f"{server.address}/model.pt", part, Arrivals()) is True
    assert part.read_bytes() == CONTENT
    assert server.ranges_of("/model.pt") == [None, "bytes=100000-", "bytes=200000-"]


def test_resumes_what_a_killed_process_left(server: WeightsServer, part: Path) -> None:
    interrupted(server, part, 120_000)
    assert download(f"{server.address}/model.pt", part, Arrivals()) is True
    assert part.read_bytes() == CONTENT
    assert server.ranges_of("/model.pt")[-1] == "bytes=120000-"


@pytest.mark.parametrize("if_range", [True, False])
def test_begins_anew_when_the_file_has_changed_meanwhile(server: WeightsServer, part: Path, if_range: bool) -> None:
    server.if_range = if_range
    interrupted(server, part, 120_000)
    server.files["/model.pt"] = CONTENT[::-1]
    download(f"{server.address}/model.pt", part, Arrivals())
    assert part.read_bytes() == CONTENT[::-1]


def test_a_kill_at_any_moment_leaves_no_part_that_passes_for_another_file(
    server: WeightsServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(server, part, 120_000)
    server.files["/model.pt"] = CONTENT[::-1]

    remember = module._remember

    def killed(*arguments: Any) -> None:
        remember(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_remember", killed)  # the new file is remembered, and nothing of it has come
        with pytest.raises(KeyboardInterrupt):
            download(f"{server.address}/model.pt", part, Arrivals())
    download(f"{server.address}/model.pt", part, Arrivals())
    assert part.read_bytes() == CONTENT[::-1]


def test_begins_anew_at_a_server_without_ranges(server: WeightsServer, part: Path) -> None:
    interrupted(server, part, 120_000)
    server.ranges = False
    assert download(f"{server.address}/model.pt", part, Arrivals()) is False
    assert part.read_bytes() == CONTENT


def test_does_not_resume_a_part_from_elsewhere(server: WeightsServer, part: Path) -> None:
    interrupted(server, part, 120_000)
    server.files["/other.pt"] = CONTENT[::-1]
    assert download(f"{server.address}/other.pt", part, Arrivals(), digest_known=True) is False
    assert part.read_bytes() == CONTENT[::-1]
    assert server.ranges_of("/other.pt") == [None]


@pytest.mark.parametrize("digest_known", [False, True])
def test_without_a_validator_resumes_only_what_a_digest_will_check(
    server: WeightsServer, part: Path, digest_known: bool
) -> None:
    server.etags = False
    interrupted(server, part, 120_000)
    assert download(f"{server.address}/model.pt", part, Arrivals(), digest_known=digest_known) is digest_known
    assert part.read_bytes() == CONTENT
    assert server.ranges_of("/model.pt")[-1] == ("bytes=120000-" if digest_known else None)


def test_a_part_that_is_already_whole_is_not_fetched_again(server: WeightsServer, part: Path) -> None:
    download(f"{server.address}/model.pt", part, Arrivals())
    assert download(f"{server.address}/model.pt", part, Arrivals()) is True
    assert part.read_bytes() == CONTENT
    assert server.ranges_of("/model.pt")[-1] == f"bytes={len(CONTENT)}-"


def test_a_part_longer_than_the_file_is_thrown_away(server: WeightsServer, part: Path) -> None:
    download(f"{server.address}/model.pt", part, Arrivals())
    with part.open("ab") as file:
        file.write(b"tail")
    download(f"{server.address}/model.pt", part, Arrivals())
    assert part.read_bytes() == CONTENT


def test_gives_up_when_nothing_more_comes_and_keeps_what_came(
    server: WeightsServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.slow_after = 50_000
    monkeypatch.setattr(module, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(module, "TRIES", 2)

    def stalled(done: int, total: int | None) -> None:
        server.slow_after = 0 if done else 50_000

    with pytest.raises(ValueError, match=r"broke off after 0\.1 MB .*kept, run the same command again"):
        download(f"{server.address}/model.pt", part, stalled)
    assert part.read_bytes() == CONTENT[:50_000]


def test_a_server_that_cuts_and_cannot_resume_is_not_asked_for_ever(server: WeightsServer, part: Path) -> None:
    server.ranges = False
    server.closes_after = 100_000
    with pytest.raises(ValueError, match="the connection was closed early"):
        download(f"{server.address}/model.pt", part, Arrivals())
    assert len(server.requests) == module.TRIES + 1


def test_a_busy_server_is_asked_again_a_few_times(server: WeightsServer, part: Path) -> None:
    server.statuses["/model.pt"] = 503
    with pytest.raises(ValueError, match="the server answered 503"):
        download(f"{server.address}/model.pt", part, Arrivals())
    assert len(server.requests) == module.TRIES


def test_absent_refused_and_a_page_instead_of_the_file(server: WeightsServer, part: Path) -> None:
    with pytest.raises(AbsentError):
        download(f"{server.address}/nowhere.pt", part, Arrivals())
    server.statuses["/model.pt"] = 403
    with pytest.raises(ValueError, match=r"answered 403 Forbidden: it wants a login"):
        download(f"{server.address}/model.pt", part, Arrivals())
    server.statuses.clear()
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(ValueError, match="answered with a web page instead of the file"):
        download(f"{server.address}/model.pt", part, Arrivals())
    assert not part.exists()


def test_nobody_there(part: Path) -> None:
    with serve(WeightsServer()) as closed:
        address = closed.address
    with pytest.raises(ValueError, match=r"Cannot reach http://127\.0\.0\.1:\d+/model\.pt .*mirror .* --from"):
        download(f"{address}/model.pt", part, Arrivals())


def test_a_login_stays_with_the_host_it_is_for(server: WeightsServer, part: Path) -> None:
    with serve(WeightsServer(files={"/cdn/model.pt": CONTENT})) as elsewhere:
        server.redirects["/model.pt"] = f"{elsewhere.address}/cdn/model.pt?signature=secret"
        interrupted_address = f"{server.address}/model.pt"
        elsewhere.closes_after = 200_000
        download(interrupted_address, part, Arrivals(), authorization="Bearer token")
        assert part.read_bytes() == CONTENT
        assert server.requests[0][1]["Authorization"] == "Bearer token"
        assert all("Authorization" not in headers for _, headers in elsewhere.requests)
        assert elsewhere.ranges_of("/cdn/model.pt") == [None, "bytes=200000-"]


def test_a_redirect_cannot_lead_to_a_file_of_this_machine(server: WeightsServer, part: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    server.redirects["/model.pt"] = secret.as_uri()
    with pytest.raises(ValueError, match="answered 302"):
        download(f"{server.address}/model.pt", part, Arrivals())
    assert not part.exists()


def test_no_room_is_said_before_anything_is_written(
    server: WeightsServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ValueError, match=r"model\.pt needs 0 MB and .* 0 MB free: free some space, or set EVALKIT_J"):
        download(f"{server.address}/model.pt", part, Arrivals())
    assert not part.exists()


def test_a_disk_that_fills_up_is_not_taken_for_a_broken_network(
    server: WeightsServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        download(f"{server.address}/model.pt", part, Arrivals())
    assert len(server.requests) == 1

"""Where the files of a judge can come from: Hugging Face, a web address, a mirror, a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from metrics.packages import missing_packages
from metrics.weights.catalogue import Judge
from metrics.weights.download import CHUNK, AbsentError, Advance, discard, download, public_address


class Source(Protocol):
    """origin: what the lock file says of it; revision: commit, where the source has one."""

    origin: str
    revision: str | None

    def digest(self, name: str) -> str | None:
        """sha256 that the source publishes for a file."""
        ...

    def get(self, name: str, stored: str, part: Path, advance: Advance, *, digest_known: bool) -> bool:
        """Bring a file whole into `part`; True if a part that was there was resumed.

        name: what its publisher calls it; stored: what the judges folder calls it. Raises AbsentError.
        """
        ...


def source_of(judge: Judge, mirror: str | None, revision: str | None) -> Source:
    """The mirror if one is given, else the judge's own address or repository (at `revision`, None for the newest).

    Raises ValueError if the mirror is neither an http(s) address nor something on this disk.
    """
    if mirror is None:
        if judge.repository:
            return HuggingFace(judge.repository, revision)
        return Web(judge.source, lambda name, stored: [judge.source])
    if is_address(mirror):
        return Web(public_address(mirror), lambda name, stored: _addresses(mirror, judge, name, stored))
    path = Path(mirror).expanduser()
    if not path.exists():
        raise ValueError(f"--from {mirror}: there is no such file or folder.")
    if path.is_file() and not judge.single_file:
        raise ValueError(f"--from {mirror}: {judge.id} has several files, so give the folder that holds them.")
    return Folder(path, judge)


def is_address(mirror: str) -> bool:
    """Raises ValueError for an address that is neither http nor https."""
    scheme, separator, _ = mirror.partition("://")
    if separator and scheme.lower() not in {"http", "https"}:
        raise ValueError(f"--from {mirror}: only http, https and paths on this disk will do.")
    return bool(separator)


class HuggingFace:
    """A model repository at one commit. HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are huggingface_hub's own."""

    def __init__(self, repository: str, revision: str | None) -> None:
        """Asks for the commit and its files. Raises ValueError if it cannot be had."""
        if problem := missing_packages(("huggingface_hub",), "standard"):
            raise ValueError(f"{repository} {problem}.")
        from huggingface_hub import HfApi

        self._repository = repository
        self._api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        self.origin = f"{self._api.endpoint}/{repository}"
        try:
            info = self._api.model_info(repository, revision=revision, files_metadata=True)
        except Exception as error:  # of whichever HTTP library huggingface_hub uses, or its own
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ValueError(
                f"Cannot reach {self.origin} ({reason}): check the network, set HF_ENDPOINT to a mirror of "
                "Hugging Face, or name a copy with --from."
            ) from error
        self.revision: str | None = info.sha
        self._digests = {file.rfilename: file.lfs.sha256 if file.lfs else None for file in info.siblings or ()}

    def digest(self, name: str) -> str | None:
        return self._digests.get(name)

    def get(self, name: str, stored: str, part: Path, advance: Advance, *, digest_known: bool) -> bool:
        from huggingface_hub import get_token, hf_hub_url

        if name not in self._digests:
            raise AbsentError(f"{self.origin}/{name}")
        # Not hf_hub_download: it throws away what had arrived when it is interrupted.
        address = hf_hub_url(self._repository, name, revision=self.revision, endpoint=self._api.endpoint)
        token = get_token()
        authorization = f"Bearer {token}" if token else None
        return download(address, part, advance, digest_known=digest_known, authorization=authorization)


class Web:
    """Files at http(s) addresses. addresses: (name, stored) -> where the file may be, best first."""

    revision: str | None = None

    def __init__(self, origin: str, addresses: Callable[[str, str], Sequence[str]]) -> None:
        self.origin = origin
        self._addresses = addresses

    def digest(self, name: str) -> str | None:
        return None

    def get(self, name: str, stored: str, part: Path, advance: Advance, *, digest_known: bool) -> bool:
        for address in self._addresses(name, stored):
            try:
                return download(address, part, advance, digest_known=digest_known)
            except AbsentError:
                continue
        raise AbsentError(f"{self.origin} ({name})")


class Folder:
    """A folder laid out as the judges folder is, a folder that holds the judge's files, or its one file."""

    origin = "a copy on disk"  # no path: the lock file is for other machines too
    revision: str | None = None

    def __init__(self, path: Path, judge: Judge) -> None:
        self._path = path
        self._judge = judge

    def digest(self, name: str) -> str | None:
        return None

    def get(self, name: str, stored: str, part: Path, advance: Advance, *, digest_known: bool) -> bool:
        judge, path = self._judge, self._path
        places = [path, path / judge.kind / judge.name / stored, path / name, path / stored]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise AbsentError(f"{path} ({name})")
        discard(part)
        with found.open("rb") as original, part.open("wb") as copy:
            total, done = os.fstat(original.fileno()).st_size, 0
            while chunk := original.read(CHUNK):
                done += copy.write(chunk)
                advance(done, total)
            os.fsync(copy.fileno())
        return False


def _addresses(mirror: str, judge: Judge, name: str, stored: str) -> list[str]:
    """Where a mirror may have a file: laid out as the judges folder is, flat, or the address is the file itself."""
    base = mirror.rstrip("/")
    if judge.single_file and urlsplit(base).path.endswith(f"/{name}"):
        return [base]
    return [f"{base}/{judge.kind}/{judge.name}/{stored}", f"{base}/{name}"]

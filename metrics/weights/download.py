"""One file over HTTP: resumed where it broke off, complete or an error."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

Advance = Callable[[int, int | None], None]  # bytes that have arrived, bytes in all where known

TIMEOUT_S = 30.0
CHUNK = 1 << 20
TRIES = 4  # in a row that come no farther
WAIT_S = 1.0  # before the second try; doubles
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_ABSENT = {404, 410}
_FORBIDDEN = {401, 403}
_RANGE_NOT_SATISFIABLE = 416


class AbsentError(Exception):
    """The source has no such file."""


class _BrokenError(Exception):
    """A transfer that may go on if it is tried again."""


def download(
    address: str, part: Path, advance: Advance, *, digest_known: bool = False, authorization: str | None = None
) -> bool:
    """Bring the file at an http(s) address whole into `part`; True if a part that was already there was resumed.

    A part is resumed where the server still has the same file (If-Range), or where the caller checks a digest.
    authorization: header that is sent to this host only, not to where it redirects.
    Raises AbsentError on 404, ValueError if the server cannot be reached or refuses, OSError if the disk does.
    """
    farthest, tries, resumed = _size(part), 0, False
    while True:
        try:
            return _transfer(address, part, advance, digest_known, authorization) or resumed
        except _BrokenError as broken:
            arrived = _size(part)
            tries = 0 if arrived > farthest else tries + 1
            farthest = max(arrived, farthest)
            if tries >= TRIES:
                raise ValueError(
                    f"{public_address(address)} broke off after {arrived / 1e6:.1f} MB ({broken}): what has arrived is "
                    "kept, run the same command again to go on."
                ) from broken
            resumed = True
            time.sleep(WAIT_S * 2**tries)


def discard(part: Path) -> None:
    """Remove a part and what is remembered of it."""
    part.unlink(missing_ok=True)
    _memory(part).unlink(missing_ok=True)


def public_address(address: str) -> str:
    """An address without user name, password, query and fragment: fit for messages and for the lock file."""
    pieces = urlsplit(address)
    return urlunsplit((pieces.scheme, pieces.netloc.rpartition("@")[2], pieces.path, "", ""))


def _transfer(address: str, part: Path, advance: Advance, digest_known: bool, authorization: str | None) -> bool:
    """One request. True if it went on from what was there."""
    validator = _remembered(part, address)
    offset = _size(part) if validator or (digest_known and validator is not None) else 0
    request = Request(address, headers={"User-Agent": "evalkit", "Accept-Encoding": "identity"})
    if authorization:
        request.add_unredirected_header("Authorization", authorization)
    if offset:
        request.add_header("Range", f"bytes={offset}-")
        if validator:
            request.add_header("If-Range", validator)
    response = _open(request, part, offset)
    if response is None:
        return True
    with response:
        _refuse_pages(response, address)
        if response.status != 206:
            offset = 0
            discard(part)  # before the new file is remembered: an old part must never pass for one of it
        elif not _continues(response, offset, validator):
            discard(part)
            raise _BrokenError("the server did not go on with the same file")
        length = response.headers.get("Content-Length")
        total = offset + int(length) if length else None
        _check_room(part, int(length) if length else 0)
        _remember(part, address, response)
        with part.open("ab" if offset else "wb") as file:
            _receive(response, file.write, offset, total, advance)
            file.flush()
            os.fsync(file.fileno())
    return offset > 0


def _open(request: Request, part: Path, offset: int) -> HTTPResponse | None:
    """The response; None if the server says that the part is already the whole file."""
    try:
        return cast(HTTPResponse, _opener().open(request, timeout=TIMEOUT_S))
    except HTTPError as error:
        with error:
            if error.code == _RANGE_NOT_SATISFIABLE and offset:
                if error.headers.get("Content-Range", "") == f"bytes */{offset}":
                    return None
                discard(part)
                raise _BrokenError("the part on disk was longer than the file") from error
            raise _refusal(error, request.full_url) from error
    except (URLError, HTTPException, OSError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if offset:
            raise _BrokenError(str(reason)) from error
        raise ValueError(
            f"Cannot reach {public_address(request.full_url)} ({reason}): check the network, or name a mirror or a "
            "folder with --from."
        ) from error


def _refusal(error: HTTPError, address: str) -> Exception:
    if error.code in _ABSENT:
        return AbsentError(public_address(address))
    if error.code in _TRANSIENT:
        return _BrokenError(f"the server answered {error.code}")
    hint = ": it wants a login (HF_TOKEN for Hugging Face)" if error.code in _FORBIDDEN else ""
    return ValueError(f"{public_address(address)} answered {error.code} {error.reason}{hint}.")


def _receive(
    response: HTTPResponse, write: Callable[[bytes], int], done: int, total: int | None, advance: Advance
) -> None:
    advance(done, total)
    while True:
        try:
            chunk = response.read1(CHUNK)
        except (OSError, HTTPException) as error:
            raise _BrokenError(str(error) or type(error).__name__) from error
        if not chunk:
            break
        write(chunk)
        done += len(chunk)
        advance(done, total)
    if total is not None and done != total:
        raise _BrokenError("the connection was closed early")


def _continues(response: HTTPResponse, offset: int, validator: str | None) -> bool:
    """Whether an answer begins where the part ends, and is of the same file even if the server ignored If-Range."""
    begins = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
    return begins and (not validator or _validator(response) == validator)


def _refuse_pages(response: HTTPResponse, address: str) -> None:
    """A login page or a listing that comes with status 200 is not a model."""
    kind = response.headers.get_content_type()
    encoding = response.headers.get("Content-Encoding", "identity")
    if kind == "text/html" or encoding != "identity":
        raise ValueError(
            f"{public_address(address)} answered with {'a web page' if kind == 'text/html' else encoding + ' data'} "
            "instead of the file: look at the address, at the proxy, or at the mirror."
        )


def _check_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise ValueError(
            f"{part.stem} needs {needed / 1e6:.0f} MB and {part.parent} has {free / 1e6:.0f} MB free: free some space, "
            "or set EVALKIT_JUDGES to another folder."
        )


def _opener() -> OpenerDirector:
    """http and https only: a redirect can lead to no file and no ftp."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler,
        HTTPHandler,
        HTTPSHandler,
        HTTPRedirectHandler,
        HTTPDefaultErrorHandler,
        HTTPErrorProcessor,
        UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _memory(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _validator(response: HTTPResponse) -> str:
    """What tells one version of a file from another: a strong ETag or a date, "" for neither."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _remember(part: Path, address: str, response: HTTPResponse) -> None:
    memory = {"address": public_address(address), "validator": _validator(response)}
    _memory(part).write_text(json.dumps(memory))


def _remembered(part: Path, address: str) -> str | None:
    """What identified the file when the part came from this address, "" for nothing; None for a part of elsewhere."""
    try:
        memory = json.loads(_memory(part).read_text())
        return str(memory["validator"]) if memory["address"] == public_address(address) else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0

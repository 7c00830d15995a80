"""A web server on loopback that stands in for a mirror, or for Hugging Face, with the accidents that happen to them."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class WeightsServer:
    """Files by path, and what goes wrong with them. Change the fields while it runs."""

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True  # False: answers 200 with the whole file, as many small servers do
    etags: bool = True
    if_range: bool = True  # False: goes on from the asked byte whatever has become of the file
    closes_after: int | None = None  # bytes of an answer after which the connection is cut, each time
    slow_after: int | None = None  # bytes after which nothing more comes for a long time
    statuses: dict[str, int] = field(default_factory=dict)  # path -> status instead of the file
    redirects: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/octet-stream"
    repositories: dict[str, dict[str, Mapping[str, bytes]]] = field(default_factory=dict)  # id -> commit -> files
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # path, headers; as they came
    address: str = ""

    def ranges_of(self, path: str) -> list[str | None]:
        """The Range header of every request for a path."""
        return [headers.get("Range") for asked, headers in self.requests if asked == path]


@contextmanager
def serve(server: WeightsServer) -> Iterator[WeightsServer]:
    """Run it on a free port of 127.0.0.1."""
    handler = type("Handler", (_Handler,), {"weights": server})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    server.address = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    weights: WeightsServer

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        server, parts = self.weights, urlsplit(self.path)
        server.requests.append((parts.path, dict(self.headers)))
        if status := server.statuses.get(parts.path):
            self._answer(status, b"")
        elif target := server.redirects.get(parts.path):
            self._answer(302, b"", Location=target)
        elif parts.path.startswith("/api/models/"):
            self._describe(parts.path.removeprefix("/api/models/"), blobs="blobs" in parse_qs(parts.query))
        elif (content := self._content(parts.path)) is not None:
            self._send(content)
        else:
            self._answer(404, b"")

    def _content(self, path: str) -> bytes | None:
        if path in self.weights.files:
            return self.weights.files[path]
        repository, _, rest = path.strip("/").partition("/resolve/")
        commit, _, file = rest.partition("/")
        return self.weights.repositories.get(repository, {}).get(commit, {}).get(file)

    def _describe(self, path: str, blobs: bool) -> None:
        """What huggingface_hub's model_info asks for; the last commit is the main one."""
        repository, _, revision = path.partition("/revision/")
        commits = self.weights.repositories.get(repository, {})
        commit = revision or next(reversed(commits), "")
        if commit not in commits:
            self._answer(404, b"{}", **{"X-Error-Code": "RepoNotFound"})
            return
        files = []
        for name, content in commits[commit].items():
            entry: dict[str, object] = {"rfilename": name}
            if blobs and not name.endswith((".json", ".yaml", ".txt")):
                digest = hashlib.sha256(content).hexdigest()
                entry |= {"size": len(content), "lfs": {"sha256": digest, "size": len(content), "pointerSize": 1}}
            files.append(entry)
        answer = {"id": repository, "sha": commit, "siblings": files}
        self._answer(200, json.dumps(answer).encode(), **{"Content-Type": "application/json"})

    def _send(self, content: bytes) -> None:
        server, offset = self.weights, 0
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        wanted = self.headers.get("Range")
        if server.ranges and wanted and (not server.if_range or self.headers.get("If-Range", etag) == etag):
            offset = int(wanted.removeprefix("bytes=").rstrip("-"))
            if offset >= len(content):
                self._answer(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
                return
        self.send_response(206 if offset else 200)
        if offset:
            self.send_header("Content-Range", f"bytes {offset}-{len(content) - 1}/{len(content)}")
        if server.etags:
            self.send_header("ETag", etag)
        self.send_header("Content-Type", server.content_type)
        self.send_header("Content-Length", str(len(content) - offset))
        self.end_headers()
        body = content[offset:]
        if server.slow_after is not None:
            self.wfile.write(body[: server.slow_after])
            self.wfile.flush()
            time.sleep(60)
        else:
            self.wfile.write(body[: server.closes_after])

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

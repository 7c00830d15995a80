"""Where a speech server is, and what may be sent there."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from evalkit.checkpoints.safe_keys import shown
from evalkit.errors import EvalkitError

EXAMPLE = "--engine http://127.0.0.1:8000"
KEY_VARIABLE = "OPENAI_API_KEY"


@dataclass(frozen=True)
class Server:
    """One endpoint. key: sent as a bearer token; "" where there is none, or where it would go in clear over a net."""

    tls: bool
    host: str
    port: int
    path: str
    key: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.path}"

    @property
    def keeps_secrets(self) -> bool:
        """True if nobody on the way can read what is sent."""
        return self.tls or _is_loopback(self.host)


def parse_address(text: str) -> Server:
    """`http://127.0.0.1:8000` or `https://api.openai.com/v1` -> the endpoint `/v1/audio/speech` below it.

    The key is that of OPENAI_API_KEY. Raises EvalkitError for another scheme, and for an address with a user, a
    password, a query or a fragment: it is recorded with the run, so no secret may be in it.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise EvalkitError(f"'{shown(text)}' is no address ({error}): {EXAMPLE}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EvalkitError(f"'{shown(text)}' is no http or https address: {EXAMPLE}.")
    if parts.username is not None or parts.password is not None:
        raise EvalkitError(f"The address of {parts.hostname} holds a user: give the key in {KEY_VARIABLE} instead.")
    if parts.query or parts.fragment or re.search(r"[^!-~]", text):
        raise EvalkitError(f"'{shown(text)}' holds more than a server and a path: {EXAMPLE}.")
    tls, base = parts.scheme == "https", parts.path.rstrip("/")
    path = base + ("/audio/speech" if base.endswith("/v1") else "/v1/audio/speech")
    server = Server(tls, parts.hostname, port or (443 if tls else 80), path)
    key = _key() if server.keeps_secrets else ""
    return Server(tls, server.host, server.port, path, key)


def _key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if re.search(r"[^!-~]", key):  # http.client would quote it in its error
        raise EvalkitError(f"{KEY_VARIABLE} holds characters that no key has: set it again.")
    return key


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

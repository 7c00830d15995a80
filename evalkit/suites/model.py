"""What a loaded suite is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class SuiteEntity:
    """A name or term in an item.

    spelling: as it stands in the item's `spoken`; spellings: how else a transcript may write it; native: in its own
    script; accepted, wrong: readings in ARPAbet of the CMU dictionary; ipa_accepted, ipa_wrong: readings in IPA.
    """

    spelling: str
    language: str
    kind: str
    native: str | None
    accepted: tuple[str, ...]
    wrong: tuple[str, ...]
    ipa_accepted: tuple[str, ...]
    ipa_wrong: tuple[str, ...]
    spellings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """One sentence. text: as written; spoken: what should be heard, in words; tags: "name:value"."""

    id: str
    text: str
    spoken: str
    entities: tuple[SuiteEntity, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """A versioned set of items. sha256: of the items with their entities, however the files were formatted."""

    name: str
    version: str
    description: str
    items: tuple[Item, ...]
    sha256: str


def content_sha256(items: Iterable[Item]) -> str:
    """The digest of what the items say, independent of the order of items, of spacing and of file layout."""
    content = [asdict(item) for item in sorted(items, key=lambda item: item.id)]
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()

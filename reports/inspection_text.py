"""What an inspection says of one checkpoint, as label and text, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.values import loose

_SHOWN = 3
_UNITS = ("B", "kB", "MB", "GB", "TB")
_NORMS = {
    "old": "as weight_g and weight_v",
    "new": "as parametrizations",
    "both": "in both spellings",
}


def printable(text: object) -> str:
    """Text from a file, safe to print: control characters, escapes and lone surrogates as backslash codes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def size_text(count: int) -> str:
    """`3.3 MB`, in powers of 1000."""
    size, unit = float(count), 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 99.5 else f"{size:.1f} {_UNITS[unit]}"


def facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, text) lines. found: one of the checkpoints that `evalkit inspect --json` prints. Nothing is escaped."""
    contents, extra, stored = found["contents"], found["extra"], found["tensors"]
    canonical = sum(section["tensors"] for section in found["sections"])
    total = size_text(sum(file["bytes"] for file in found["files"]))
    lines = [
        ("file", f"{found['path']} ({found['format']}, {total})"),
        *((f"sha256 {_file_name(file)}".strip(), file["sha256"]) for file in _named(found["files"])),
        ("fingerprint", found["fingerprint"]),
        ("engine", engine_text(found)),
        ("layout", layout_text(found)),
        ("tensors", f"{stored:,} stored, {canonical:,} after folding weight norm, {found['parameters']:,} parameters"),
        ("types", _counts(contents["dtypes"])),
        ("NaN or Inf", non_finite_text(contents["non_finite"])),
        ("tied", _groups(contents["tied"])),
        ("equal content", _groups(contents["equal"])),
        ("all zero", _listed(contents["zeros"])),
        ("all one value", _listed(contents["constant"])),
        ("beside tensors", ", ".join(f"{key} = {loose(value)}" for key, value in extra.items()) or "nothing"),
    ]
    return lines + _record(found["provenance"])


def judgements(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All that is said of one checkpoint; of several, what is wrong with each file, under its name, then the vectors'.

    found: what `evalkit inspect --json` prints.
    """
    checkpoints, vectors = found["checkpoints"], found["vectors"]
    if vectors is None:
        return list(checkpoints[0]["judgements"])
    of_files = [
        {**said, "says": f"{checkpoint['name']}: {said['says']}"}
        for checkpoint in checkpoints
        for said in checkpoint["judgements"]
        if said["level"] != "ok"
    ]
    return [*of_files, *vectors["judgements"]]


def engine_text(found: Mapping[str, Any]) -> str:
    if found["engine"]:
        return str(found["engine"])
    if found["system"] == "LoRA adapter":
        return "that of its base: it is a LoRA adapter"
    return f"none installed, looks like {found['system']}" if found["system"] else "none installed"


def layout_text(found: Mapping[str, Any]) -> str:
    """Nesting, wrapper, prefixes and the spelling of weight norm in one line."""
    spelling = found["spelling"]
    parts = ["dicts of sections" if spelling["nesting"] == "sections" else "flat names"]
    if spelling["wrapper"]:
        parts.append(f"inside {' > '.join(spelling['wrapper'])}")
    parts += [f"'{prefix}' before {count} names" for prefix, count in spelling["prefixes"].items()]
    norm = spelling["weight_norm"]
    parts.append(f"weight norm {_NORMS[norm]} on {spelling['folded']} tensors" if norm in _NORMS else "no weight norm")
    return ", ".join(parts)


def non_finite_text(broken: Sequence[Mapping[str, Any]]) -> str:
    return _listed([f"{found['key']} ({found['nan']} NaN, {found['inf']} Inf)" for found in broken])


def _record(provenance: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """The record of a merge. Its maker may have written anything into it."""
    if provenance is None:
        return [("merge record", "none")]
    record = provenance["record"]
    about = {True: "of this very file", False: "OF ANOTHER FILE", None: "names no sha256 to check"}
    lines = [
        ("merge record", f"{provenance['source']}, {about[provenance['matches']]}"),
        ("merged by", f"evalkit {loose(record.get('evalkit'))}, {loose(record.get('created'))}"),
        *((f"recipe {name}", text) for name, text in _flat(record.get("recipe"))),
    ]
    parents = record.get("parents")
    for parent in parents if isinstance(parents, list) else ():
        if isinstance(parent, Mapping):
            named = f"{loose(parent.get('name'))}: {loose(parent.get('path'))}, sha256 {loose(parent.get('sha256'))}"
            lines.append(("parent", named))
    return lines


def _flat(value: object, name: str = "") -> Iterable[tuple[str, str]]:
    """("parents.0.weight", "0.6") for every leaf of nested mappings and lists."""
    items: Iterable[tuple[object, object]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    elif name:
        yield name, loose(value)
    for key, inner in items:
        yield from _flat(inner, f"{name}.{key}" if name else str(key))


def _named(files: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of a single file, the name would say nothing."""
    return [{**file, "path": ""} for file in files] if len(files) == 1 else list(files)


def _file_name(file: Mapping[str, Any]) -> str:
    return str(file["path"]).replace("\\", "/").rpartition("/")[2]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _groups(groups: Sequence[Sequence[str]]) -> str:
    return _listed([" = ".join(names) for names in groups])


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)}: {', '.join(names[:_SHOWN])}{rest}"

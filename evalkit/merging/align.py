"""Which tensors of several checkpoints belong together, and what becomes of those that have no partner."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from evalkit.checkpoints import CanonicalTensors
from evalkit.errors import EvalkitError, some

BASE = "base"
ERROR = "error"
KEEP = "keep:"

# AdaIN keeps an affine InstanceNorm beside its `fc`; Kokoro's release lacks these tensors, its code makes them 1 and 0.
AFFINE = re.compile(r"^(?P<block>.*)\.norm\.(weight|bias)$")
COUNTER = ".num_batches_tracked"  # of BatchNorm: how many batches the running statistics are made of
TABLES = (".inv_freq",)  # computed from the configuration: rotary frequencies are no weights

Sources = Mapping[str, CanonicalTensors]


@dataclass(frozen=True)
class Alignment:
    """What becomes of every canonical key; each stands in one of the first four.

    merged: floating tensors of one shape that every checkpoint has, or may be taken to have; same: integers and
    tables, equal everywhere; counters: BatchNorm's, of which the largest is taken; copied: keys without a partner ->
    the checkpoint that they are kept from; dropped: keys without a partner that the result does not have -> who had
    them. implied: merged keys -> the checkpoints that lack them and stand for the identity there (1 for a weight, 0
    for a bias).
    """

    merged: tuple[str, ...]
    same: tuple[str, ...]
    counters: tuple[str, ...]
    copied: Mapping[str, str]
    dropped: Mapping[str, tuple[str, ...]]
    implied: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class _Odd:
    """Why a tensor cannot be merged: `reason` is shared by all that are odd in the same way, `detail` its own."""

    key: str
    reason: str
    remedy: str
    detail: str = ""


def keeper(unmatched: str, names: Collection[str]) -> str | None:
    """The checkpoint that `--unmatched` names ("base", "keep:sarah"), None for "error". Raises EvalkitError."""
    if unmatched == ERROR:
        return None
    name = unmatched.removeprefix(KEEP)
    if name not in names or (unmatched != BASE and not unmatched.startswith(KEEP)):
        wanted = ", ".join([ERROR, *(BASE if name == BASE else f"{KEEP}{name}" for name in names)])
        raise EvalkitError(f"--unmatched {unmatched}: it takes one of {wanted}.")
    return name


def align(sources: Sources, unmatched: str = ERROR) -> Alignment:
    """Match the tensors of checkpoints (name -> canonical tensors) by name; only integers are read.

    unmatched: "error", or "base" or "keep:NAME", the checkpoint from which tensors that cannot be merged are taken.
    Raises EvalkitError, naming them, if there are such tensors and nothing was said about them.
    """
    keep = keeper(unmatched, sources)
    merged, same, counters, odd = [], [], [], []
    implied: dict[str, tuple[str, ...]] = {}
    for key in dict.fromkeys(key for tensors in sources.values() for key in tensors):
        lacking = tuple(name for name, tensors in sources.items() if key not in tensors)
        problem = _lacks(key, lacking, sources) or _differs(key, lacking, sources)
        if problem is not None:
            odd.append(problem)
        elif key.endswith(COUNTER):
            counters.append(key)
        elif any(tensors.is_floating(key) for tensors in sources.values() if key in tensors) and not _is_table(key):
            merged.append(key)
            if lacking:
                implied[key] = lacking
        else:
            same.append(key)
    if odd and keep is None:
        raise EvalkitError(_refusal(odd))
    copied = {each.key: keep for each in odd if keep is not None and each.key in sources[keep]}
    dropped = {
        each.key: tuple(name for name, tensors in sources.items() if each.key in tensors)
        for each in odd
        if each.key not in copied
    }
    return Alignment(tuple(merged), tuple(same), tuple(counters), copied, dropped, implied)


def _lacks(key: str, lacking: tuple[str, ...], sources: Sources) -> _Odd | None:
    """Why a key that some checkpoints lack has no partner in them; None if it has, or stands for the identity."""
    affine = AFFINE.match(key)
    alone = [name for name in lacking if not (affine and f"{affine['block']}.fc.weight" in sources[name])]
    if not alone:
        return None
    holder = next(name for name, tensors in sources.items() if key in tensors)
    return _Odd(
        key,
        f"of '{holder}' without a partner in '{alone[0]}'",
        "merge checkpoints of one layout, or say with --unmatched whose are kept",
    )


def _differs(key: str, lacking: tuple[str, ...], sources: Sources) -> _Odd | None:
    """Why the tensors of one name cannot be merged, None if they can."""
    (first, one), *others = [(name, tensors) for name, tensors in sources.items() if name not in lacking]
    for name, tensors in others:
        pair = f"of '{first}' and '{name}'"
        if tensors.shape(key) != one.shape(key):
            shapes = f"{list(one.shape(key))} and {list(tensors.shape(key))}"
            remedy = "merge fine-tunes of one base, or say with --unmatched whose are kept"
            return _Odd(key, f"{pair} differ in shape", remedy, f" (the first: {shapes})")
        floating = [source.is_floating(key) for source in (one, tensors)]
        if all(floating) and not _is_table(key):
            continue
        alike = any(floating) == all(floating) and (key.endswith(COUNTER) or bool((one[key] == tensors[key]).all()))
        if not alike:
            kind = "computed tables" if _is_table(key) else "integers"
            return _Odd(
                key,
                f"that are {kind} differ between '{first}' and '{name}'",
                "they have no average, so make them equal, or say with --unmatched whose are kept",
            )
    return None


def _is_table(key: str) -> bool:
    return key.endswith(TABLES)


def _refusal(odd: list[_Odd]) -> str:
    """One sentence about the tensors that are odd in the same way as the first."""
    first = odd[0]
    keys = [each.key for each in odd if each.reason == first.reason]
    rest = len(odd) - len(keys)
    also = f", and {rest} more for other reasons" if rest else ""
    count = f"{len(keys)} tensor{'' if len(keys) == 1 else 's'}"
    return f"{count} {first.reason}: {some(keys)}{first.detail}{also}; {first.remedy}."

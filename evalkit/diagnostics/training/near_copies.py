"""Clips that are the same recording: at another gain or rate, in another codec, noisier, trimmed otherwise.

Fingerprints (`fingerprints`) that share a pair of peaks at about the same time meet in a bucket. Only clips that met
are compared, and in a bucket each clip meets the few nearest to it in length, so that the work grows with the number of
clips, whether a set has no copies, one clip a thousand times, or the same chime before every sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evalkit.diagnostics.training.fingerprints import HOP_S, KEPT, TIME_BITS
from evalkit.diagnostics.training.rows import batches

MOVED_S = 0.15  # that trimming and a codec's delay may move a recording in its clip
LENGTH_S = 0.4  # that the clips' lengths may differ: by that at both ends, and the codec's padding
SHARED = 7  # pairs of peaks at one and the same delay; clips of different recordings share at most 2
AT_ONE_DELAY = 0.75  # of the pairs of peaks that two clips share about the same time
DRIFT = 0.01  # of the time: a copy keeps its delay, the same sentence spoken more slowly falls behind
GAP_SHARE = 0.4  # of a clip's pairs of peaks in a row that another lacks: that is another sentence there
GAP_CHANCE = 30.0  # unless one in so many copies had such a gap by chance

_MOVED = round(MOVED_S / HOP_S)  # hops
_TIMES = np.uint32(2**TIME_BITS - 1)
_MEETS = 8  # clips of a bucket that each meets
_PARTS = 4  # of the buckets, gone through one after another; of 7 shared pairs of peaks, one part has at least 2
_BLOCK = 20_000  # clips at once, and those that are about as long as the longest of them
_COMPARED = 10_000  # pairs of clips at once

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Prints:
    """Fingerprints of clips, side by side. words: uint32 [clips, KEPT], of each the first `counts`."""

    words: npt.NDArray[np.uint32]
    counts: Ints
    seconds: npt.NDArray[np.float32]


def near_copies(clips: Path) -> Iterator[tuple[str, str]]:
    """(id of a clip, id of the first clip with that recording), in the order of the set.

    clips: `clips.parquet`. Clips with the very content of another (`copy_of`) and unmeasured ones are left out. What is
    not found: copies trimmed by more than about 0.1 s at the start, played faster or slower, or under much noise.
    Memory: 0.2 kB per clip, and a share of that for the buckets.
    """
    rows, prints = _read(clips)
    firsts = first_of_each(prints)
    copies = np.flatnonzero(firsts != np.arange(len(firsts)))
    wanted = np.unique(np.concatenate([rows[copies], rows[firsts[copies]]]))
    names = _names(clips, wanted)
    for copy in copies:
        yield names[int(rows[copy])], names[int(rows[firsts[copy]])]


def first_of_each(prints: Prints) -> Ints:
    """Index of the first clip with the same recording, for every clip; its own where there is none before it."""
    groups = _Groups(len(prints.counts))
    for clips, part in product(_blocks(prints.seconds), range(_PARTS)):
        met = _met(prints, clips, part)
        for start in range(0, len(met), _COMPARED):
            chosen = met[start : start + _COMPARED]
            first, second = chosen >> 32, chosen & 0xFFFFFFFF
            for a, b in zip(first[same := same_recording(prints, first, second)], second[same], strict=True):
                groups.join(int(a), int(b))
    return groups.firsts()


def same_recording(prints: Prints, first: Ints, second: Ints) -> npt.NDArray[np.bool_]:
    """Whether clips `first` and `second` (indices, [pairs]) are one recording; bool [pairs]."""
    a, b = prints.words[first], prints.words[second]
    alike = (a[:, :, None] >> TIME_BITS) == (b[:, None, :] >> TIME_BITS)
    places = np.arange(KEPT)
    alike &= (places < prints.counts[first][:, None])[:, :, None] & (places < prints.counts[second][:, None])[:, None]
    pair, at, its = np.nonzero(alike)
    since = (a[pair, at] & _TIMES).astype(np.int64)
    delay = (b[pair, its] & _TIMES).astype(np.int64) - since
    near = np.abs(delay) <= _MOVED
    pair, at, since, delay = pair[near], at[near], since[near], delay[near]
    usual, steady = _at_one_delay(pair, delay, len(first))
    steady &= ~_drifts(pair, since, delay, len(first))
    shared = np.zeros((len(first), KEPT), dtype=bool)
    there = np.abs(delay - usual[pair]) <= 1
    shared[pair[there], at[there]] = True
    return steady & ~_shares_a_part(shared, prints.counts[first])


def _at_one_delay(pair: Ints, delay: Ints, pairs: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """The delay at which two clips share most, in hops, and whether that is enough and nearly all they share."""
    places = 2 * _MOVED + 1
    found = np.bincount(pair * places + delay + _MOVED, minlength=pairs * places).reshape(pairs, places)
    padded = np.pad(found, ((0, 0), (1, 1)))
    around = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]  # a peak may fall into the hop before or after
    total, most = found.sum(axis=1), around.max(axis=1)
    return around.argmax(axis=1) - _MOVED, (most >= SHARED) & (most >= AT_ONE_DELAY * total)


def _drifts(pair: Ints, since: Ints, delay: Ints, pairs: int) -> npt.NDArray[np.bool_]:
    """Whether the delay surely grows or shrinks in the course of the clip."""
    number = np.maximum(np.bincount(pair, minlength=pairs), 1)

    def mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        means: npt.NDArray[np.float64] = np.asarray(np.bincount(pair, values, pairs) / number, dtype=np.float64)
        return means

    time = since - mean(since.astype(np.float64))[pair]
    late = delay - mean(delay.astype(np.float64))[pair]
    spread = np.maximum(mean(time**2), 1.0)
    slope = mean(time * late) / spread
    unexplained = np.maximum(np.sqrt(mean((late - slope[pair] * time) ** 2)), 0.35)  # hops; rounding alone makes 0.3
    surely: npt.NDArray[np.bool_] = np.abs(slope) > 3 * unexplained / np.sqrt(number * spread)
    return surely & (np.abs(slope) > DRIFT)


def _shares_a_part(shared: npt.NDArray[np.bool_], counts: Ints) -> npt.NDArray[np.bool_]:
    """Whether the clips share one part and nothing of another, as two sentences of a synthetic voice with equal words.

    shared: which pairs of peaks of the first clip the second has, [pairs of clips, KEPT], in the order of time. What a
    codec or noise takes away is spread over the clip: a longer gap than chance makes in most copies is none's.
    """
    places = np.arange(KEPT)
    ends = shared | (places >= counts[:, None])
    last = np.maximum.accumulate(np.where(ends, places, -1), axis=1)
    before = np.concatenate([np.full((len(last), 1), -1), last[:, :-1]], axis=1)
    longest = (places - before - 1).max(axis=1)
    number = shared.sum(axis=1)
    left = np.clip(1 - number / np.maximum(counts, 1), 1e-3, 1 - 1e-3)
    usual = np.log(GAP_CHANCE * np.maximum(number, 1)) / -np.log(left)
    lost: npt.NDArray[np.bool_] = longest > np.maximum(usual, GAP_SHARE * counts)
    return lost


def _blocks(seconds: npt.NDArray[np.float32]) -> Iterator[Ints]:
    """Indices of clips by length, some at a time, with all that may be copies of the longest of those."""
    order = np.argsort(seconds, kind="stable")
    lengths = seconds[order]
    for start in range(0, len(order), _BLOCK):
        longest = lengths[min(start + _BLOCK, len(order)) - 1]
        yield order[start : np.searchsorted(lengths, longest + LENGTH_S, side="right")]


def _met(prints: Prints, clips: Ints, part: int) -> Ints:
    """Pairs of these clips that meet twice in buckets of this part, each once, the lower index in the upper 32 bits.

    A bucket is a pair of peaks in a stretch of time. Stretches overlap by half, so that peaks up to `MOVED_S` apart
    share one.
    """
    words = prints.words[clips]
    chosen = (np.arange(KEPT) < prints.counts[clips][:, None]) & ((words >> TIME_BITS) % _PARTS == part)
    own, place = np.nonzero(chosen)
    clip, found = clips[own], words[own, place]
    hashes, hops = (found >> TIME_BITS).astype(np.int64), (found & _TIMES).astype(np.int64)
    met: list[Ints] = []
    for shift in (0, _MOVED):
        key = hashes << 32 | (hops + shift) // (2 * _MOVED)
        order = np.lexsort((clip, prints.seconds[clip], key))
        met.append(_neighbours(key[order], clip[order], prints.seconds[clip[order]]))
    return np.unique(np.concatenate(met))


def _neighbours(keys: Ints, clips: Ints, seconds: npt.NDArray[np.float32]) -> Ints:
    """Each clip with those of its bucket that are about as long, if they meet twice; sorted by bucket and length."""
    pairs: list[Ints] = []
    for step in range(1, _MEETS + 1):
        near = (keys[step:] == keys[:-step]) & (seconds[step:] - seconds[:-step] <= LENGTH_S)
        one, other = clips[step:][near], clips[:-step][near]
        pairs.append((np.minimum(one, other) << 32 | np.maximum(one, other))[one != other])
    met, times = np.unique(np.concatenate(pairs), return_counts=True)
    twice: Ints = met[times > 1]
    return twice


class _Groups:
    """Disjoint sets of clips, each known by its smallest index."""

    def __init__(self, clips: int) -> None:
        self._parents = np.arange(clips, dtype=np.int64)

    def join(self, a: int, b: int) -> None:
        first, second = sorted((self._root(a), self._root(b)))
        self._parents[second] = first

    def firsts(self) -> Ints:
        parents = self._parents
        while (parents != (above := parents[parents])).any():
            parents = above
        return parents

    def _root(self, clip: int) -> int:
        while (parent := int(self._parents[clip])) != clip:
            self._parents[clip] = self._parents[parent]
            clip = parent
        return clip


def _read(clips: Path) -> tuple[Ints, Prints]:
    """Rows of the table that have a fingerprint, and the fingerprints."""
    rows: list[Ints] = []
    words: list[npt.NDArray[np.uint32]] = []
    counts: list[Ints] = []
    seconds: list[npt.NDArray[np.float32]] = []
    passed = 0
    for batch in batches(clips, ["fingerprint", "seconds", "copy_of"]):
        prints = batch.column("fingerprint")
        lengths = np.asarray(prints.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)
        lengths[np.asarray(batch.column("copy_of").is_valid())] = 0
        here = np.flatnonzero(lengths)
        block = np.zeros((len(here), KEPT), dtype=np.uint32)
        for place, row in enumerate(here):
            own = prints[int(row)].values.to_numpy()[:KEPT]
            block[place, : len(own)] = own
        rows.append(here + passed)
        words.append(block)
        counts.append(np.minimum(lengths[here], KEPT))
        seconds.append(np.asarray(batch.column("seconds").to_numpy(zero_copy_only=False), dtype=np.float32)[here])
        passed += batch.num_rows
    if not rows:
        return np.empty(0, dtype=np.int64), Prints(
            np.empty((0, KEPT), dtype=np.uint32), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        )
    return np.concatenate(rows), Prints(np.concatenate(words), np.concatenate(counts), np.concatenate(seconds))


def _names(clips: Path, rows: Ints) -> dict[int, str]:
    names: dict[int, str] = {}
    passed = 0
    for batch in batches(clips, ["id"]):
        here = rows[(rows >= passed) & (rows < passed + batch.num_rows)]
        column = batch.column("id")
        names.update((int(row), column[int(row) - passed].as_py()) for row in here)
        passed += batch.num_rows
    return names

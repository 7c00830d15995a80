"""Which elements of a task vector are kept: by magnitude, by chance, or by chance that grows with magnitude.

A method gets, for each parent, one factor for every element: 0 where the element is dropped, 1 where it is kept, and
1/p where it was kept by the chance p and is rescaled; None where nothing was dropped. Factors are flat, [elements].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from evalkit.merging.base import Stream
from evalkit.merging.methods.sums import parts
from metrics.options import Option

Factor = Tensor | None

# Below one in ten thousand a task vector is gone, and 1/density no longer a sensible factor.
LEAST_DENSITY = 1e-4


def density_option(default: float) -> Option:
    return Option(default, "share of each task vector that is kept", low=LEAST_DENSITY, high=1.0)


def magnitudes(base: Tensor, tensor: Tensor) -> Tensor:
    """|tensor - base| [elements] in float32, which is what magnitudes are compared in, here and over a whole model."""
    return (tensor.reshape(-1).float() - base.reshape(-1).float()).abs_()


def count_kept(density: float, count: int) -> int:
    """int(density * count), as papers and other tools round it, but never nothing of something."""
    return min(max(int(density * count), 1), count)


def trim(size: Tensor, density: float) -> Factor:
    """Keep the `density` largest of the magnitudes. Those equal to the smallest kept one are kept too.

    So the choice depends on no order of elements, and one element alone is never trimmed.
    """
    return keep_between(size, count_kept(density, size.numel()), 0)


def keep_between(size: Tensor, kept: int, outliers: int) -> Factor:
    """Drop the `outliers` largest magnitudes, keep the next `kept`, drop the rest. What equals an end is kept too."""
    count = size.numel()
    if kept + outliers >= count and not outliers:
        return None
    least, most = in_order(size, count - outliers - kept, count - outliers - 1)
    return (size >= least) & (size <= most) if outliers else size >= least


def in_order(values: Tensor, *places: int) -> list[float]:
    """What would stand at these places, from 0, if the values were sorted; numpy takes a third of kthvalue's time."""
    ordered = np.partition(values.cpu().numpy(), places)
    return [float(ordered[place]) for place in places]


def thresholds(stream: Stream, density: float) -> tuple[float, ...]:
    """For each parent, the k-th largest magnitude of its task vector over the whole model; k = count_kept(density).

    Exact, in bounded memory: non-negative float32 numbers are ordered as their bit patterns are, so one pass counts the
    upper 16 bits of every magnitude and finds in which bin the k-th lies, and a second the lower 16 bits within it.
    """
    upper = _count(stream, None)
    places = [_descend(counts, count_kept(density, int(counts.sum()))) for counts in upper]
    lower = _count(stream, [place for place, _ in places])
    bits = [place << 16 | _descend(counts, left)[0] for (place, left), counts in zip(places, lower, strict=True)]
    return tuple(torch.tensor(bits, dtype=torch.int32).view(torch.float32).tolist())


def _count(stream: Stream, within: list[int] | None) -> list[Tensor]:
    """How many magnitudes of each parent have which upper 16 bits; or, of those in its bin `within`, which lower 16."""
    counts: list[Tensor] = []
    for base, tensors in stream:
        counts = counts or [torch.zeros(2**16, dtype=torch.int64) for _ in tensors]
        start, ends = base.reshape(-1), [tensor.reshape(-1) for tensor in tensors]
        for part in parts(start.numel(), start.device):
            for index, end in enumerate(ends):
                bits = magnitudes(start[part], end[part]).view(torch.int32)
                chosen = bits >> 16 if within is None else bits[bits >> 16 == within[index]] & 0xFFFF
                counts[index] += torch.bincount(chosen, minlength=2**16).cpu()
    return counts


def _descend(counts: Tensor, wanted: int) -> tuple[int, int]:
    """The bin in which the wanted-th largest lies, and the how-manieth largest it is there; the lowest bin for none."""
    if not wanted:
        return 0, 0
    reached = counts.flip(0).cumsum(0)
    steps = int(torch.searchsorted(reached, wanted))
    return len(counts) - 1 - steps, wanted - (int(reached[steps - 1]) if steps else 0)


def drop(count: int, density: float, generator: torch.Generator, device: torch.device) -> Factor:
    """DARE: keep each element by the chance `density`, and rescale what is kept by 1/density.

    Source: Yu et al. 2024, "Language models are super Mario", eq. 3 (arXiv 2311.03099), with p = 1 - density. One
    element alone is kept as it is: there is nothing to thin out in a scalar.
    """
    if density >= 1 or count <= 1:
        return None
    chance = torch.rand(count, generator=generator)
    return ((chance < density).float() / density).to(device)


def magprune(rows: Tensor, density: float, window: float, generator: torch.Generator) -> Factor:
    """MagPrune: keep each element by a chance that grows with its magnitude's rank in the row, and rescale by 1/it.

    rows: magnitudes [rows, n]. With the ranks r = 0 (smallest) .. n - 1 the chance is
    density - window/2 + window r / (n - 1), whose mean is the density; in a row of one element it is the density. Of
    equal magnitudes the later one ranks higher. One element alone is kept as it is.
    """
    if density >= 1 or rows.numel() <= 1:
        return None
    length = rows.shape[1]
    places = torch.linspace(-0.5, 0.5, length, device=rows.device) if length > 1 else rows.new_zeros(1)
    order = rows.argsort(dim=1, stable=True)
    keep = density + window * torch.empty_like(rows).scatter_(1, order, places.expand_as(rows))
    chance = torch.rand(rows.shape, generator=generator).to(rows.device)
    return ((chance < keep) / keep).reshape(-1)

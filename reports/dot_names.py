"""Names beside the dots of a crowded picture: none covers another, and each can only belong to its own dot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.plot_axes import CHARACTER, Box, Frame, _overlap

_WAYS = ((1, 0), (1, -1), (1, 1), (-1, 0), (-1, -1), (-1, 1), (0, -1), (0, 1))


@dataclass(frozen=True)
class Place:
    """Where a name stands, and the line to its dot where it is not beside it."""

    box: Box
    leader: tuple[float, float, float, float] | None


def beside_dots(
    names: Sequence[tuple[float, float, str, Sequence[float]]],
    frame: Frame,
    dots: Sequence[tuple[float, float]],
    whiskers: Sequence[Box],
) -> list[Place | None]:
    """Where each name stands so that it covers neither a dot nor another name, nor an interval if that can be helped.

    names: x and y of the dot, the name, and how far it may be moved, with a line to the dot. Earlier ones choose
    first. None where all is taken.
    """
    taken: list[Box] = [(a - 6, b - 6, a + 6, b + 6) for a, b in dots]
    found: list[Place | None] = []
    for a, b, said, reaches in names:
        spots = [place for reach in reaches for place in _around((a, b), CHARACTER * len(said), reach)]
        spots = [place for place in spots if _inside(place.box, frame)]
        free = [place for place in spots if not any(_overlap(place.box, other) for other in taken)]
        sure = [place for place in free if not _beside_another(place, (a, b), dots)]
        sure += [place for place in free if place.leader]
        clear = (place for place in sure[:16] if not any(_touches(place.box, line) for line in whiskers))
        place = next(clear, sure[0] if sure else None)
        if place:
            taken.append(place.box)
        found.append(place)
    return found


def _around(point: tuple[float, float], length: float, reach: float) -> list[Place]:
    x, y = point
    places = []
    for right, down in _WAYS:
        slant = 0.7 if right and down else 1.0
        a, b = x + right * (8 + reach * slant), y + down * ((10 if not right else 5) + reach * slant)
        left = a if right > 0 else a - length if right < 0 else a - length / 2
        top = b - 7 if not down else b - 13 if down < 0 else b
        box = (left, top, left + length, top + 13)
        end = (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))
        places.append(Place(box, (x, y, *end) if reach else None))
    return places


def _inside(box: Box, frame: Frame) -> bool:
    return box[0] >= frame.left and box[2] <= frame.width - 2 and box[1] >= frame.top and box[3] <= frame.floor


def _beside_another(place: Place, own: tuple[float, float], dots: Sequence[tuple[float, float]]) -> bool:
    """Whether a name could be taken for that of another dot, for its place or for what the line to it passes."""
    left, top, right, bottom = place.box
    others = [dot for dot in dots if dot != own]
    if any(left - 12 < a < right + 12 and top - 7 < b < bottom + 7 for a, b in others):
        return True
    return place.leader is not None and any(_distance(dot, place.leader) < 8 for dot in others)


def _distance(point: tuple[float, float], line: Box) -> float:
    """From a point to the nearest one of a line."""
    (x, y), (x1, y1, x2, y2) = point, line
    length = (x2 - x1) ** 2 + (y2 - y1) ** 2
    along = max(0.0, min(1.0, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length)) if length else 0.0
    return math.hypot(x - x1 - along * (x2 - x1), y - y1 - along * (y2 - y1))


def _touches(box: Box, line: Box) -> bool:
    return _overlap(box, (line[0] - 1, line[1] - 1, line[2] + 1, line[3] + 1))

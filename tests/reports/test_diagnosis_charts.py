"""The pictures of a diagnosis: places of dots and zones, names that cover nothing, distributions over one axis."""

from __future__ import annotations

import re
from html import unescape
from itertools import combinations, pairwise

import numpy as np
import pytest
from diagnoses import PUBLISHED, make_speaker, nothing_measured, several
from markupsafe import Markup

from reports.charts import Bins, bin_values
from reports.diagnosis_charts import _cut, bins_of, median, outcome_chart, shared_axis, strips

Box = tuple[float, float, float, float]


def drawings(chart: Markup) -> list[str]:
    return re.findall(r"<svg.*?</svg>", str(chart))


def zones(svg: str) -> dict[str, tuple[float, float]]:
    found = re.findall(r'<rect class="zone (\w+)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg)
    return {kind: (float(x), float(x) + float(width)) for kind, x, width in found}


def dots(svg: str) -> dict[str, tuple[float, float]]:
    found = re.findall(r'<circle class="point [^"]+" cx="([\d.]+)" cy="([\d.]+)" r="[\d.]+"><title>(.*?):', svg)
    return {name: (float(x), float(y)) for x, y, name in found}


def names(svg: str) -> dict[str, Box]:
    """The boxes of the names, a letter 6.9 wide as in the style sheet."""
    found = re.findall(r'<text class="named \w+ mid" x="([\d.]+)" y="([\d.]+)">(.*?)</text>', svg)
    return {
        words: (float(x) - 3.45 * len(words), float(y) - 11, float(x) + 3.45 * len(words), float(y) + 2)
        for x, y, words in found
    }


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_every_dot_lies_in_its_zone() -> None:
    speakers = [make_speaker("gains", "gain"), make_speaker("risks", "risk"), make_speaker("falls", "collapse")]
    for svg in drawings(outcome_chart(speakers, PUBLISHED)):
        found, places = zones(svg), dots(svg)
        assert list(found) == ["collapse", "undecided", "gain"]
        assert found["collapse"][1] == pytest.approx(found["undecided"][0], abs=0.2)
        expected = {
            "collapse": ("falls", "1212 −0.414", "1259 −0.001"),
            "undecided": ("risks", "1401 −0.274"),
            "gain": ("gains", "1 +0.029", "2 +0.424", "11614 +0.138"),
        }
        for zone, inside in expected.items():
            for name in inside:
                assert found[zone][0] <= places[name][0] <= found[zone][1], name


def test_more_spread_of_dnsmos_lies_higher() -> None:
    for svg in drawings(outcome_chart([], PUBLISHED)):
        places = dots(svg)
        ordered = sorted(PUBLISHED, key=lambda one: float(one["dnsmos_sd"]))
        heights = [places[f"{one['name']} {one['gain']:+.3f}".replace("-", "−")][1] for one in ordered]
        assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize("count", [1, 6, 12])
def test_all_names_are_there_and_cover_neither_each_other_nor_a_dot(count: int) -> None:
    for svg in drawings(outcome_chart(several(count), PUBLISHED)):
        found = names(svg)
        assert len(found) == len(PUBLISHED) + count
        assert not [pair for pair in combinations(found, 2) if overlap(found[pair[0]], found[pair[1]])]
        boxes = [(x - 4, y - 4, x + 4, y + 4) for x, y in dots(svg).values()]
        assert not [name for name, box in found.items() if any(overlap(box, dot) for dot in boxes)]
        width = float(re.findall(r'viewBox="0 0 (\d+)', svg)[0])
        assert all(box[0] >= 0 and box[2] <= width for box in found.values())


def test_even_speakers_at_the_place_of_a_published_one_get_their_names() -> None:
    twins = [make_speaker(f"twin {n}") for n in range(3)]
    for twin in twins:
        twin["energy"] |= {"std_db": 13.11, "std_ci95": None}
        twin["dnsmos"] |= {"sd": 0.370, "sd_ci95": [None, None]}
    for svg in drawings(outcome_chart(twins, PUBLISHED)):
        assert len(names(svg)) == len(PUBLISHED) + 3
        assert 'class="range' not in svg, "there is no interval to draw"


def test_in_a_crowd_the_published_speakers_keep_their_names_and_every_dot_has_a_tooltip() -> None:
    for svg in drawings(outcome_chart(several(40), PUBLISHED)):
        found = names(svg)
        assert sum("0." in name for name in found) == len(PUBLISHED)
        assert len(found) < 46
        assert not [pair for pair in combinations(found, 2) if overlap(found[pair[0]], found[pair[1]])]
        assert len(dots(svg)) == 46


def test_no_name_without_a_line_could_belong_to_another_dot() -> None:
    """Two dots above each other: the name of one must not stand right beside the other."""
    pair = [make_speaker(name) for name in ("upper", "lower")]
    for speaker, sd in zip(pair, (0.300, 0.286), strict=True):
        speaker["energy"] |= {"std_db": 11.0, "std_ci95": None}
        speaker["dnsmos"] |= {"sd": sd, "sd_ci95": None}
    for svg in drawings(outcome_chart(pair, PUBLISHED)):
        found, places = names(svg), dots(svg)
        lines = svg.count('class="leader"')
        for name, other in (("upper", "lower"), ("lower", "upper")):
            left, top, right, bottom = found[name]
            x, y = places[other]
            assert lines or not (left - 8 < x < right + 8 and top - 6 < y < bottom + 6)


def test_intervals_are_drawn_at_their_ends() -> None:
    speaker = make_speaker("Ada")
    speaker["energy"] |= {"std_db": 12.0, "std_ci95": [10.0, 12.93]}
    svg = drawings(outcome_chart([speaker], []))[0]
    lines = re.findall(r'<line class="range" x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"', svg)
    across = next(line for line in lines if line[1] == line[3])
    assert (float(across[0]), float(across[2])) == pytest.approx(zones(svg)["undecided"], abs=0.2)


@pytest.mark.parametrize("far", [0.5, 45.0])
def test_zone_names_stay_in_order_and_apart_when_a_speaker_lies_far_out(far: float) -> None:
    speaker = make_speaker("far out")
    speaker["energy"] |= {"std_db": far, "std_ci95": [far - 0.4, far + 2]}
    for svg in drawings(outcome_chart([speaker], PUBLISHED)):
        found = re.findall(r'<text class="zone \w+" x="([\d.]+)" y="[\d.]+">(.*?)</text>', svg)
        assert len(found) == 3
        for (left, words), (right, _) in pairwise(found):
            assert float(left) + 6.9 * len(unescape(words)) < float(right)
        width = float(re.findall(r'viewBox="0 0 (\d+)', svg)[0])
        assert float(found[-1][0]) + 6.9 * len(unescape(found[-1][1])) <= width


def test_a_speaker_without_dnsmos_is_not_drawn() -> None:
    chart = outcome_chart([nothing_measured("mute")], PUBLISHED)
    assert "mute" not in chart


def test_equal_values_stand_above_each_other_whatever_the_bins() -> None:
    wide, narrow = bin_values([0.0, 10.0, 5.0, 5.0, 5.0]), bin_values(list(np.linspace(4.9, 5.1, 400)))
    svg = str(strips("length", "s", [("a", wide), ("b", narrow), ("c", None)], shared_axis([wide, narrow])))
    medians = [float(x) for x in re.findall(r'<line class="mean" x1="([\d.]+)"', svg)]
    assert len(medians) == 2
    assert medians[0] == pytest.approx(medians[1], abs=12.0), "half a bin of the coarse one"
    assert "no values" in svg


def test_a_lone_far_clip_does_not_flatten_the_axis_and_is_still_counted() -> None:
    rng = np.random.default_rng(0)
    bins = bin_values([*rng.normal(5, 1, 2000), 500.0])
    many = Bins(0.0, 1.0, (*np.histogram(rng.normal(5, 1, 2000), 10, (0, 10))[0].tolist(), *[0] * 489, 1))
    low, high = shared_axis([many])
    assert high < 15
    assert sum(_cut(many, low, high).counts) == sum(many.counts)
    assert shared_axis([bins])[1] <= bins.high


def test_bars_stay_right_of_the_names() -> None:
    rng = np.random.default_rng(1)
    found = [bin_values([float(v) for v in rng.normal(5 * n, 1 + n, 3000)]) for n in range(4)]
    found.append(Bins(-300.3, 4.0, (1, *[0] * 74, 500, 2000, 500)))
    svg = str(strips("level", "dBFS", [(f"s{n}", bins) for n, bins in enumerate(found)], shared_axis(found)))
    lefts = [float(x) for path in re.findall(r'class="bars" d="([^"]*)"', svg) for x in re.findall(r"M([-\d.]+)", path)]
    rights = [
        float(x) for path in re.findall(r'class="bars" d="([^"]*)"', svg) for x in re.findall(r"H([-\d.]+)", path)
    ]
    assert min(lefts) >= 92
    assert max(rights) <= 340


def test_the_median_of_bins_lies_within_a_bin_of_that_of_the_values() -> None:
    values = [float(v) for v in np.random.default_rng(2).gamma(3, 2, 999)]
    bins = bin_values(values)
    assert abs(median(bins) - float(np.median(values))) <= bins.width


def test_bins_that_count_nothing_are_none() -> None:
    assert bins_of(None) is None
    assert bins_of({"low": 0.0, "width": 1.0, "counts": [0, 0]}) is None
    assert bins_of({"low": 0.0, "width": 0.0, "counts": [3]}) is None
    assert bins_of({"low": 1.0, "width": 0.5, "counts": [0, 3]}) == Bins(1.0, 0.5, (0, 3))

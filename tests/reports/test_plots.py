"""Line charts and scatter plots: what is drawn where, and what is written beside it."""

from __future__ import annotations

import itertools
import math
import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from reports.plot_axes import CHARACTER, Frame, beside, linear_axis, log_axis
from reports.plots import Dot, Panel, Series, line_chart, panel_chart, scatter

STEPS = (50.0, 100.0, 200.0, 400.0)


def drawn(markup: Markup, wide: bool = True) -> ElementTree.Element:
    """One of the two pictures, which are both well-formed."""
    pictures = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", markup, re.S)]
    assert len(pictures) == 2
    return pictures[0 if wide else 1]


def of_class(svg: ElementTree.Element, *names: str) -> list[ElementTree.Element]:
    return [node for node in svg.iter() if set(names) <= set((node.get("class") or "").split())]


def texts(svg: ElementTree.Element) -> list[str]:
    return [node.text or "" for node in svg.iter("text")]


def heights(svg: ElementTree.Element, *names: str) -> list[float]:
    return [float(node.get("cy", "nan")) for node in of_class(svg, "point", *names)]


def test_higher_values_stand_higher_and_whiskers_reach_as_far_as_the_intervals() -> None:
    series = Series("a", [(1, 2.0), (2, 3.0)], [(1.5, 2.5), None])
    svg = drawn(line_chart([series], x="step", y="MOS", label="quality"))
    first, second = heights(svg, "main")
    assert first > second
    (whisker,) = of_class(svg, "range")
    low, high = float(whisker.get("y1", 0)), float(whisker.get("y2", 0))
    assert low > first > high
    assert (low - first) == pytest.approx(first - high, abs=0.2)
    assert (low - high) == pytest.approx(first - second, abs=0.2)  # both are 1 wide


def test_axes_have_titles_and_the_picture_says_what_it_shows() -> None:
    markup = line_chart([Series("a", [(1, 2.0)])], x="step", y="dnsmos_ovrl, MOS", label='quality "over" steps')
    svg = drawn(markup)
    assert svg.get("aria-label") == 'quality "over" steps'
    assert {"step", "dnsmos_ovrl, MOS"} <= set(texts(svg))


def test_a_value_that_is_no_number_interrupts_the_line() -> None:
    points = [(1, 1.0), (2, 2.0), (3, math.nan), (4, 2.0), (5, 1.0)]
    svg = drawn(line_chart([Series("a", points)], x="x", y="y", label="l"))
    paths = of_class(svg, "series")
    assert len(paths) == 2
    assert all(path.get("d", "").count("L") == 1 for path in paths)
    assert "nan" not in ElementTree.tostring(svg, "unicode")


def test_many_points_have_a_band_that_stops_where_an_interval_is_missing() -> None:
    points = [(float(n), 1.0 + n % 3) for n in range(30)]
    intervals = [(y - 1, y + 1) if n != 15 else None for n, (_, y) in enumerate(points)]
    svg = drawn(line_chart([Series("a", points, intervals)], x="x", y="y", label="l"))
    assert not of_class(svg, "range")
    assert len(of_class(svg, "area")) == 2


def test_two_lines_that_end_at_one_place_have_names_that_do_not_cover_each_other() -> None:
    series = [Series(name, [(1, 1.0), (2, 2.0)]) for name in ("first", "second", "third")]
    svg = drawn(line_chart(series, x="x", y="y", label="l"))
    names = of_class(svg, "named")
    places = sorted(float(node.get("y", 0)) for node in names)
    assert len(places) == 3
    assert all(b - a >= 13 for a, b in itertools.pairwise(places))
    assert places[-1] < float(svg.get("viewBox", "").split()[3])


def test_one_line_alone_needs_no_name_and_names_above_the_lines_are_for_narrow_places() -> None:
    alone = drawn(line_chart([Series("only", [(1, 1.0)])], x="x", y="y", label="l"))
    assert not of_class(alone, "named")
    two = line_chart([Series("a", [(1, 1.0)]), Series("b", [(1, 2.0)], tone="second")], x="x", y="y", label="l")
    highest = min(float(node.get("cy", 0)) for node in of_class(drawn(two, wide=False), "point"))
    assert all(float(node.get("y", 0)) < highest for node in of_class(drawn(two, wide=False), "named"))


def test_long_names_are_cut_and_end_within_the_picture() -> None:
    series = [Series("x" * 200, [(1, 1.0)]), Series("b", [(1, 2.0)])]
    for wide, width in ((True, 720), (False, 340)):
        (name,) = (
            n
            for n in of_class(drawn(line_chart(series, x="x", y="y", label="l"), wide), "named")
            if "x" in (n.text or "")
        )
        assert (name.text or "").endswith("…")
        assert float(name.get("x", 0)) + CHARACTER * len(name.text or "") <= width


def test_what_users_name_is_escaped() -> None:
    name = "<script>alert(1)</script>"
    markup = line_chart(
        [Series(name, [(1, 1.0)]), Series("b", [(1, 2.0)])], x=name, y=name, label=name, marks=[(1, name)]
    )
    markup += scatter([Dot(1, 1, name)], x=name, y=name, label=name)
    assert "<script>" not in markup
    assert name in texts(drawn(line_chart([Series("a", [(1, 1.0)])], x=name, y="y", label="l")))


def test_a_name_keeps_its_hyphen_and_a_number_gets_a_minus() -> None:
    svg = drawn(scatter([Dot(-2, -1, "step-00050"), Dot(2, 1, "b")], x="x", y="y", label="l"))
    assert "step-00050" in texts(svg)
    assert any(text.startswith("−") for text in texts(svg))


def test_steps_that_double_stand_at_equal_distances_on_a_log_axis() -> None:
    markup = line_chart(
        [Series("a", [(s, 1.0) for s in STEPS])],
        x="step",
        y="y",
        label="l",
        ticks={s: f"{s:g}" for s in STEPS},
        log_x=True,
    )
    places = [float(node.get("cx", 0)) for node in of_class(drawn(markup), "point")]
    gaps = [b - a for a, b in itertools.pairwise(places)]
    assert gaps == pytest.approx([gaps[0]] * 3, abs=0.2)
    assert {"50", "100", "200", "400"} <= set(texts(drawn(markup)))


def test_ticks_that_would_cover_each_other_are_left_out_but_not_the_last() -> None:
    ticks = {float(n): f"night {n}" for n in range(50)}
    points = [(float(n), 1.0) for n in range(50)]
    svg = drawn(line_chart([Series("a", points)], x="x", y="y", label="l", ticks=ticks), wide=False)
    shown = sorted((float(node.get("x", 0)), node.text or "") for node in of_class(svg, "num", "mid"))
    assert shown[-1][1] == "night 49"
    assert 2 <= len(shown) < 10
    assert all(b[0] - a[0] >= CHARACTER * len(a[1]) for a, b in itertools.pairwise(shown))


def test_marks_and_spans_stand_at_their_place_in_every_panel() -> None:
    panels = [Panel([Series("loss", [(1, 1.0), (9, 0.1)])], "loss"), Panel([Series("q", [(1, 3.0), (9, 2.0)])], "MOS")]
    svg = drawn(panel_chart(panels, x="step", label="l", marks=[(5, "from here")], spans=[(5, 9)]))
    points = of_class(svg, "point")
    middle = (float(points[0].get("cx", 0)) + float(points[1].get("cx", 0))) / 2
    assert float(points[2].get("cx", 0)) == float(points[0].get("cx", 0))
    lines = [node for node in of_class(svg, "mark") if node.tag == "line"]
    assert [float(node.get("x1", 0)) for node in lines] == pytest.approx([middle] * 2, abs=0.1)
    assert [float(node.get("x", 0)) for node in of_class(svg, "span")] == pytest.approx([middle] * 2, abs=0.1)
    assert texts(svg).count("from here") == 1


def test_texts_of_marks_close_together_stand_in_rows() -> None:
    svg = drawn(
        line_chart(
            [Series("a", [(0, 1.0), (100, 1.0)])], x="x", y="y", label="l", marks=[(50, "first one"), (51, "second")]
        )
    )
    rows = {node.get("y") for node in of_class(svg, "mark") if node.tag == "text"}
    assert len(rows) == 2


def test_nothing_to_draw_is_said_and_no_picture() -> None:
    for markup in (
        line_chart([], x="x", y="y", label="trend of <wer>"),
        line_chart([Series("a", [(1, math.nan)])], x="x", y="y", label="trend of <wer>"),
        scatter([], x="x", y="y", label="trend of <wer>"),
    ):
        assert "<svg" not in markup
        assert "trend of &lt;wer&gt;: nothing to draw yet." in markup


@pytest.mark.parametrize(("better", "turns"), [("higher", "VH"), ("lower", "HV")])
def test_the_front_is_a_step_line_on_the_side_that_the_dots_dominate(better: str, turns: str) -> None:
    dots = [Dot(1, 3, "a", "front"), Dot(2, 2, "b", "chosen"), Dot(1.5, 1, "c")]
    svg = drawn(scatter(dots, x="x", y="y", label="l", better_x="higher" if better == "higher" else "lower"))
    (line,) = [node for node in of_class(svg, "front") if node.tag == "path"]
    assert re.sub(r"[^HV]", "", line.get("d", "")) == turns
    assert len(of_class(svg, "point", "chosen")) == 1


def test_a_chosen_dot_off_the_front_is_not_joined_to_it() -> None:
    dots = [Dot(1, 3, "a", "front"), Dot(2, 2, "b", "front"), Dot(1, 1, "c", "chosen", off_front=True)]
    (line,) = [n for n in of_class(drawn(scatter(dots, x="x", y="y", label="l")), "front") if n.tag == "path"]
    assert line.get("d", "").count("H") == 1


def test_a_front_of_one_dot_is_no_line() -> None:
    svg = drawn(scatter([Dot(1, 1, "a", "front"), Dot(0, 0, "b")], x="x", y="y", label="l"))
    assert not [node for node in of_class(svg, "front") if node.tag == "path"]


def test_names_of_crowded_dots_do_not_cover_each_other_and_the_chosen_one_has_its_name() -> None:
    dots = [Dot(1 + n * 1e-3, 1 + n * 1e-3, f"checkpoint {n}", "chosen" if n == 7 else "plain") for n in range(30)]
    svg = drawn(scatter([*dots, Dot(0, 0, "far"), Dot(2, 2, "off")], x="x", y="y", label="l"))
    assert "checkpoint 7" in texts(svg)
    frame = Frame(0, 300, 0, 200, 300)
    spots = beside([(100, 100)] * 6, ["name"] * 6, frame)
    boxes = [spot[1] for spot in spots if spot]
    assert 0 < len(boxes) < 6
    for n, one in enumerate(boxes):
        for other in boxes[n + 1 :]:
            assert one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or other[1] >= one[3]


def test_equal_values_get_an_axis_with_room_and_logs_their_round_ticks() -> None:
    flat = linear_axis([2.0, 2.0])
    assert flat.low < 2 < flat.high
    assert linear_axis([0.0]).low < 0 < linear_axis([0.0]).high
    assert [text for _, text in log_axis([50, 1600]).ticks] == ["50", "100", "200", "500", "1000"]

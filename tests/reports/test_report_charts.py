import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.charts import Marks, bin_values, dot_and_interval, histogram, spark


def test_bins_are_round_and_keep_every_value() -> None:
    bins = bin_values([0.0, 0.5, 0.5, 1.0])
    assert (bins.low, bins.high) == (0.0, 1.0)
    assert bins.counts[0] == 1
    assert bins.counts[-1] == 1, "the largest value is in the last bin, not in one of its own"
    assert sum(bins.counts) == 4


def test_a_bin_starts_at_its_edge() -> None:
    bins = bin_values([0.1 * k for k in range(11)])
    assert bins.width == 0.2
    assert bins.counts == (2, 2, 2, 2, 3), "0.6000000000000001 and the like fall into the bin of 0.6"


@given(st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 6)), min_size=1, max_size=50))
def test_no_value_is_lost(values: list[float]) -> None:
    bins = bin_values(values)
    assert sum(bins.counts) == len(values)
    slack = 1e-6 * bins.width
    assert bins.low - slack <= min(values)
    assert max(values) <= bins.high + slack
    assert 1 <= len(bins.counts) <= 30


@pytest.mark.parametrize("values", [[2.5], [0.0, 0.0], [-27.2, -27.2]])
def test_equal_values_can_be_drawn(values: list[float]) -> None:
    svg = histogram(bin_values(values), Marks(values[0], str(values[0])), "dB", "label")
    assert "nan" not in svg
    ET.fromstring(svg)


def test_histogram_says_what_it_shows() -> None:
    marks = Marks(2.9, "2.90", (2.8, 3.0), 2.4, "2.40")
    svg = ET.fromstring(histogram(bin_values([2.5, 2.9, 3.3]), marks, "MOS", 'a "label" & <more>'))
    assert svg.get("aria-label") == 'a "label" & <more>'
    texts = [text.text for text in svg.iter("text")]
    assert "mean 2.90 MOS" in texts
    assert "reference 2.40" in texts
    reference, mean = (next(line for line in svg.iter("line") if line.get("class") == k) for k in ("reference", "mean"))
    assert float(reference.get("x1", "")) < float(mean.get("x1", "")), "a reference outside the values widens the axis"
    band = next(svg.iter("rect"))
    left, width = float(band.get("x", "")), float(band.get("width", ""))
    assert left < float(mean.get("x1", "")) < left + width


def test_small_charts_stay_inside_their_box() -> None:
    svg = spark(bin_values([1.0, 2.0, 5.0]), Marks(2.7, "2.7", None, 9.0, "9.0"), "label")
    xs = [float(x) for x in re.findall(r'x[12]="([\d.]+)"', svg)]
    assert all(0 <= x <= 120 for x in xs)
    dot = ET.fromstring(dot_and_interval(0.5, [0.4, 0.6], (0.0, 1.0), 2.0))
    assert dot.get("aria-hidden") == "true"
    assert float(next(dot.iter("circle")).get("cx", "")) == 48.0


@pytest.mark.parametrize("value", [0.1, 3.7, 1e-6, 1e6, -2.5])
@pytest.mark.parametrize("bits", [1, 2, 1000])
def test_values_that_differ_by_rounding_alone_are_one_bin(value: float, bits: int) -> None:
    """Shares of a batch's time, divided by the clips' lengths, are equal but for their last bits."""
    values = [value, value * (1 + bits * 2.0**-52), value]
    bins = bin_values(values)
    assert sum(bins.counts) == len(values) and max(bins.counts) == len(values)
    rounding = 1e-9 * abs(value)
    assert bins.low <= min(values) + rounding and max(values) <= bins.high + rounding


@pytest.mark.parametrize("spread", [1e-8, 1e-6, 1e-3])
def test_every_value_is_counted_however_close_together(spread: float) -> None:
    values = [5.0 * (1 + spread * k / 10) for k in range(11)]
    assert sum(bin_values(values).counts) == len(values)

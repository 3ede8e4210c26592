from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from napari_samstar.core.results.charts import HEIGHT, WIDTH, Series, chart, profile, ticks


def parse_svg(text):
    return ET.fromstring(text)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.3765, 0.3831, [0.378, 0.38, 0.382]),
        (-3, 420, [0, 100, 200, 300, 400]),
        (4.9, 5.1, [4.9, 4.95, 5, 5.05, 5.1]),
    ],
)
def test_ticks_are_round_and_within_the_range(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_the_number_of_ticks_is_small_for_any_range():
    rng = np.random.default_rng(0)
    for low, width in zip(rng.normal(size=200), 10 ** rng.uniform(-6, 6, 200), strict=True):
        found = ticks(low, low + width)
        assert 1 <= len(found) <= 8


def test_a_chart_has_points_titles_axes_and_a_legend():
    series = [
        Series([(0, 0), (1, 1)], "tried", "tried", titles=["a < b", ""]),
        Series([(0.5, 0.5)], "picked", "chosen", "star"),
        Series([(0.2, 0.9), (0.4, 0.3)], "front", shape="steps"),
    ]
    shown = parse_svg(chart(series, "across & along", "up", "what it shows"))
    low, high = shown.iter("circle")
    assert float(low.get("cx")) < float(high.get("cx"))
    assert float(low.get("cy")) > float(high.get("cy"))
    for circle in (low, high):
        assert 0 < float(circle.get("cx")) < WIDTH
        assert 0 < float(circle.get("cy")) < HEIGHT
    assert [t.text for t in shown.iter("title")] == ["a < b"]
    assert "across & along" in [t.text for t in shown.iter("text")]
    assert shown.find("svg").get("aria-label") == "what it shows"
    assert [s.text for s in shown.iter("span")] == ["tried", "chosen"]
    (steps,) = (p.get("d") for p in shown.iter("path") if p.get("class") == "line front")
    assert re.fullmatch(r"M[\d.]+ [\d.]+V[\d.]+H[\d.]+", steps)


@pytest.mark.parametrize("points", [[], [(0.3, 0.3)], [(0, 0), (0, 0)], [(1e-9, 5), (2e-9, 5)]])
@pytest.mark.parametrize("shape", ["dot", "line", "steps", "diamond", "star"])
def test_degenerate_series_are_drawn(points, shape):
    text = chart([Series(points, "tried", shape=shape)], "x", "y", "alt")
    assert parse_svg(text) is not None
    assert "nan" not in text


def test_profiles_with_equal_limits_have_the_same_scale():
    flat = profile([0, 1, 2], [0.5, 0.5, 0.5], (0, 1), "flat")
    steep = profile([0, 1, 2], [0.0, 0.5, 1.0], (0, 1), "steep")
    heights = [[float(c.get("cy")) for c in parse_svg(p).iter("circle")] for p in (flat, steep)]
    assert len(set(heights[0])) == 1
    assert heights[1] == sorted(heights[1], reverse=True)
    assert heights[0][1] == heights[1][1]

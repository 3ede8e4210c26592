from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest

from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.results.figures import (
    OVERLAY_SIDE,
    front_figure,
    overlay,
    overlay_figure,
    round_length,
    save,
)
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning.config import Trial
from napari_samstar.core.tuning.front import front

THREE = ("coverage", "overlap_fidelity", "boundary")


def trials():
    rng = np.random.default_rng(0)
    values = [dict(zip(THREE, row, strict=True)) for row in rng.random((30, 3))]
    origins = ["defaults", *["search"] * 29]
    return [Trial(AmgConfig(), v, k, 0, origins[k]) for k, v in enumerate(values)]


@pytest.mark.parametrize("n_objectives", [1, 2, 3])
def test_the_front_figure_marks_defaults_and_picked_trial(tmp_path, n_objectives):
    names = THREE[:n_objectives]
    goal = Goal(dict.fromkeys(names, 1.0), {"boundary": 2})
    found = front(trials(), goal)
    figure = front_figure(found, found.knee)
    axes = figure.axes[0]
    where = {t.get_text().split("\n")[0]: t.xy for t in axes.texts}
    vertical = min(1, n_objectives - 1)
    assert where["picked"][1] == found.points[found.knee, vertical]
    assert where["SAM's defaults"][1] == found.points[0, vertical]
    assert goal.names[vertical] in axes.get_ylabel()
    save(figure, tmp_path / "front.png")
    picture = iio.imread(tmp_path / "front.png")
    assert min(picture.shape[:2]) > 600
    assert 0.02 < np.mean(np.ptp(picture[..., :3], axis=2) + 255 - picture.min(axis=2) > 30) < 0.5


def test_the_front_figure_of_a_single_trial_is_drawn(tmp_path):
    found = front(trials()[:1], Goal(dict.fromkeys(THREE[:2], 1.0)))
    save(front_figure(found, 0), tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 1000


def test_overlay_outlines_objects_and_does_not_change_the_background():
    rgb = np.full((40, 50, 3), 90, np.uint8)
    labels = np.zeros((40, 50), np.int32)
    labels[5:15, 5:15], labels[5:15, 15:25] = 1, 2  # touching
    picture = overlay(rgb, labels)
    np.testing.assert_array_equal(picture[labels == 0], rgb[labels == 0])
    left, right = picture[10, 14], picture[10, 15]
    assert np.abs(left.astype(int) - right).sum() > 100  # two colours where they touch
    edge, middle = picture[5, 10], picture[10, 10]
    assert np.ptp(edge.astype(int)) > 2 * np.ptp(middle.astype(int)) > 0


def test_overlay_enlarges_whole_pixels():
    rgb = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)
    picture = overlay(rgb, np.zeros((12, 10), np.int32), zoom=3)
    np.testing.assert_array_equal(picture[1::3, 1::3], rgb)


def test_the_overlay_figure_has_all_pixels_a_scale_bar_and_a_count(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    labels = np.zeros((60, 80), np.int32)
    labels[20:40, 20:40] = 7
    figure = overlay_figure(Micrograph(rgb, (0.5, 0.5), "nm"), labels)
    assert [t.get_text() for t in figure.axes[0].texts] == ["1 object", "5 nm"]
    bar = figure.axes[0].lines[0].get_xdata()
    assert (bar[1] - bar[0]) * 80 * 0.5 == pytest.approx(5)
    save(figure, tmp_path / "overlay.png")
    zoom = round(OVERLAY_SIDE / 80)
    assert iio.imread(tmp_path / "overlay.png").shape[:2] == (60 * zoom, 80 * zoom)
    without = overlay_figure(Micrograph(rgb), np.zeros_like(labels))
    assert [t.get_text() for t in without.axes[0].texts] == ["0 objects"]


@pytest.mark.parametrize(
    ("length", "rounded"), [(1, 1), (9.9, 5), (20, 20), (0.049, 0.02), (1234, 1000)]
)
def test_round_length_is_1_2_or_5_times_a_power_of_ten(length, rounded):
    assert round_length(length) == pytest.approx(rounded)


def test_saving_to_a_missing_folder_raises_one_sentence(tmp_path):
    found = front(trials(), Goal(dict.fromkeys(THREE[:2], 1.0)))
    with pytest.raises(UserError, match="no folder"):
        save(front_figure(found), tmp_path / "missing" / "front.png")

from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.linking.linker import Linker
from napari_samstar.core.linking.settings import LinkSettings
from napari_samstar.core.linking.tracks import TrackMeasurer
from tests.core.linking.planes import boxes, discs


def measured(frames, *args, **changes):
    linker, measurer = Linker(LinkSettings(mode="time", **changes)), TrackMeasurer(*args)
    for frame in frames:
        measurer.add(linker.add(frame))
    return measurer.close()


def test_path_displacement_and_speed_in_physical_units():
    # 3 px along rows, 4 px along cols, and back along cols
    frames = [boxes((r, c, r + 20, c + 30)) for r, c in ((10, 20), (13, 24), (13, 20))]
    table = measured(frames, (2.0, 0.5), "µm", 30.0, "s")
    steps = np.hypot(6.0, 2.0), 2.0
    assert table["path_µm"] == pytest.approx([sum(steps)])
    assert table["displacement_µm"] == pytest.approx([6.0])
    assert table["speed_µm_per_s"] == pytest.approx([sum(steps) / 60])
    assert table["mean_area_µm2"] == pytest.approx([600.0])
    assert [table[n][0] for n in ("first_frame", "last_frame", "n_frames")] == [0, 2, 3]


def test_without_sizes_and_times_lengths_are_in_px_and_speeds_per_frame():
    frames = [boxes((10, c, 30, c + 30)) for c in (20, 24)]
    table = measured(frames)
    assert table["speed_px_per_frame"] == pytest.approx([4.0])


def test_a_missing_frame_counts_in_time_but_not_in_frames():
    frames = [boxes((10, 20, 30, 50)), boxes(), boxes((10, 24, 30, 54))]
    table = measured(frames)
    assert table["n_frames"].tolist() == [2]
    assert table["speed_px_per_frame"] == pytest.approx([2.0])


def test_daughters_name_their_parent():
    frames = [discs((50, 60, 20)), discs((50, 49, 12), (50, 73, 12))]
    table = measured(frames)
    assert table["label"].tolist() == [1, 2, 3]
    assert table["parent"].tolist() == [0, 1, 1]
    assert table["last_frame"].tolist() == [0, 1, 1]


def test_a_mother_that_keeps_its_id_is_not_its_own_parent():
    frames = [discs((50, 60, 20)), discs((50, 57, 18), (50, 80, 6))]
    assert measured(frames, daughter=0.3)["parent"].tolist() == [0, 1]


def test_an_object_in_one_frame_has_no_speed():
    table = measured([boxes((10, 20, 30, 50))])
    assert np.isnan(table["speed_px_per_frame"]).tolist() == [True]
    assert table["path_px"].tolist() == [0.0]


def test_an_empty_movie_has_an_empty_table():
    table = measured([boxes(), boxes()])
    assert all(len(column) == 0 for column in table.values())


@pytest.mark.parametrize("args", [((0.0, 1.0), "µm"), (None, "px", -1.0)])
def test_sizes_and_times_must_be_positive(args):
    with pytest.raises(UserError):
        TrackMeasurer(*args)

from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.masks.labels import measurements, paint
from napari_samstar.core.masks.store import MaskStore
from napari_samstar.core.results.tables import write_table
from tests.core.painted import add, disc, rectangle

SHAPE = (120, 160)


def image(pixel_size=None, unit="px"):
    return Micrograph(np.full((*SHAPE, 3), 50, np.uint8), pixel_size, unit)


def painted(masks):
    store = MaskStore(SHAPE)
    return paint(store, add(store, masks))


def test_smaller_masks_are_painted_over_larger_ones():
    small, large = disc(SHAPE, 50, 50, 10), disc(SHAPE, 50, 60, 30)
    for order in ([small, large], [large, small]):
        labels = painted(order)
        assert labels.dtype == np.int32
        assert (labels[small] == 2).all()
        assert (labels[large & ~small] == 1).all()
        assert not labels[~(small | large)].any()


def test_labels_are_consecutive():
    left, right = rectangle(SHAPE, 10, 10, 30, 20), rectangle(SHAPE, 10, 20, 30, 30)
    hidden = rectangle(SHAPE, 10, 10, 30, 30)
    other, empty = disc(SHAPE, 80, 100, 20), np.zeros(SHAPE, dtype=bool)
    labels = painted([hidden, left, right, other, empty])
    assert sorted(np.unique(labels)) == [0, 1, 2, 3]
    assert len(np.unique(labels[hidden])) == 2


def test_no_masks_give_empty_labels_and_an_empty_table(tmp_path):
    labels = painted([])
    assert labels.shape == SHAPE
    assert not labels.any()
    table = measurements(labels, image())
    assert all(len(column) == 0 for column in table.values())
    path = tmp_path / "t.csv"
    write_table(table, path)
    assert path.read_text().startswith("label,row_px,col_px,area_px2")
    assert path.read_text().count("\n") == 1


def test_measurements_of_a_disc_in_physical_units():
    labels = painted([disc(SHAPE, 60, 70, 25)])
    table = measurements(labels, image((0.5, 0.5), "µm"))
    assert table["area_µm2"][0] == pytest.approx(np.pi * 12.5**2, rel=0.01)
    assert table["diameter_µm"][0] == pytest.approx(25, rel=0.01)
    assert table["perimeter_µm"][0] == pytest.approx(np.pi * 25, rel=0.06)
    assert table["major_axis_µm"][0] == pytest.approx(25, rel=0.02)
    assert table["circularity"][0] > 0.9
    assert table["solidity"][0] > 0.95
    assert table["aspect_ratio"][0] == pytest.approx(1, abs=0.01)
    assert (table["row_px"][0], table["col_px"][0]) == (60, 70)
    assert table["mean_intensity"][0] == 50


def test_measurements_of_a_rectangle():
    table = measurements(painted([rectangle(SHAPE, 20, 20, 30, 100)]), image())
    assert table["circularity"][0] < 0.4
    assert table["aspect_ratio"][0] == pytest.approx(8, rel=0.05)
    assert table["area_px2"][0] == 800


def test_areas_are_exact_on_pixels_that_are_not_square():
    table = measurements(painted([rectangle(SHAPE, 20, 20, 30, 40)]), image((2.0, 0.5), "nm"))
    assert table["area_nm2"][0] == pytest.approx(200)
    assert table["diameter_nm"][0] == pytest.approx(2 * np.sqrt(200 / np.pi))


def test_csv_has_one_row_per_object_and_empty_cells_for_undefined_values(tmp_path):
    line = rectangle(SHAPE, 40, 20, 41, 60)
    table = measurements(painted([disc(SHAPE, 90, 90, 10), line]), image())
    path = tmp_path / "t.csv"
    write_table(table, path)
    header, *rows = path.read_text().splitlines()
    assert header.split(",") == list(table)
    assert [row.split(",")[0] for row in rows] == ["1", "2"]
    assert rows[1].split(",")[list(table).index("aspect_ratio")] == ""
    assert "inf" not in path.read_text()
    assert "nan" not in path.read_text()

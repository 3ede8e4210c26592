from __future__ import annotations

import numpy as np
import pytest
from skimage import measure

from napari_samstar.core.errors import UserError
from napari_samstar.core.linking.linker import Linker
from napari_samstar.core.linking.settings import LinkSettings
from napari_samstar.core.linking.solids import SolidMeasurer

SPACING = (3.0, 0.5, 0.7)  # plane, row, col


def measured(stack, voxel_size=None, unit="px", **changes):
    linker, measurer = Linker(LinkSettings(**changes)), SolidMeasurer(voxel_size, unit)
    planes = [linker.add(plane) for plane in stack]
    for plane in planes:
        measurer.add(plane)
    return measurer.close(), np.stack([plane.labels for plane in planes])


def ellipsoid(shape, centre, axes):
    """Return a bool volume; all lengths in voxels."""
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    inside = sum(((g - c) / a) ** 2 for g, c, a in zip(grid, centre, axes, strict=True))
    return np.asarray(inside <= 1)


@pytest.fixture(scope="module")
def stack():
    labels = np.zeros((30, 60, 80), np.int32)
    labels[ellipsoid(labels.shape, (15, 25, 25), (8, 14, 20))] = 1
    labels[ellipsoid(labels.shape, (6, 45, 65), (6, 9, 9))] = 2
    labels[:, :5, 70:] = 3
    return labels


def test_measurements_are_those_of_scikit_image_on_the_whole_volume(stack):
    table, linked = measured(stack, SPACING, "µm")
    regions = measure.regionprops(linked, spacing=SPACING)
    assert table["label"].tolist() == [region.label for region in regions]
    for k, region in enumerate(regions):
        assert table["volume_µm3"][k] == pytest.approx(region.area)
        assert table["diameter_µm"][k] == pytest.approx(region.equivalent_diameter_area)
        at = [table[name][k] for name in ("plane", "row_px", "col_px")]
        assert np.multiply(at, SPACING) == pytest.approx(np.array(region.centroid))
        z0, *_, z1, _, _ = region.bbox
        assert (table["first_plane"][k], table["last_plane"][k]) == (z0, z1 - 1)
        assert table["n_planes"][k] == z1 - z0


def test_axes_are_those_of_an_ellipsoid_in_physical_units(stack):
    table, linked = measured(stack, SPACING, "µm")
    k = linked[15, 25, 25] - 1
    axes = [table[f"{name}_axis_µm"][k] for name in ("major", "middle", "minor")]
    assert axes == pytest.approx([2 * 8 * 3.0, 2 * 20 * 0.7, 2 * 14 * 0.5], rel=0.03)


def test_an_object_in_one_plane_is_as_thick_as_a_box_of_one_voxel():
    labels = np.zeros((3, 40, 40), np.int32)
    labels[1, 5:35, 5:35] = 1
    table, _ = measured(labels, SPACING, "µm")
    assert table["minor_axis_µm"] == pytest.approx([2 * np.sqrt(5 / 12) * 3.0])


def test_the_surface_is_that_of_marching_cubes(stack):
    table, linked = measured(stack, SPACING, "µm")
    for k, label in enumerate(table["label"]):
        volume = np.pad(linked == label, 1).astype(float)
        vertices, faces, *_ = measure.marching_cubes(volume, 0.5, spacing=SPACING)
        whole = measure.mesh_surface_area(vertices, faces)
        assert table["surface_µm2"][k] == pytest.approx(whole, rel=1e-4)


def test_an_object_with_parts_and_a_missing_plane_is_measured_as_one():
    whole = np.zeros((40, 60), np.int32)
    whole[10:30, 10:50] = 1
    arms = whole.copy()
    arms[:, 25:35] = 0
    arms[:, 35:] *= 2
    table, linked = measured([whole, arms, np.zeros_like(whole), arms, whole])
    assert table["label"].tolist() == [1]
    assert table["volume_px3"][0] == (linked == 1).sum() == 2 * 800 + 2 * 600
    assert (table["n_planes"][0], table["first_plane"][0], table["last_plane"][0]) == (4, 0, 4)
    volume = np.pad(linked == 1, 1).astype(float)
    surface = measure.mesh_surface_area(*measure.marching_cubes(volume, 0.5)[:2])
    assert table["surface_px2"][0] == pytest.approx(surface, rel=1e-4)


def test_objects_that_touch_the_border_of_the_stack_are_marked():
    labels = np.zeros((6, 30, 30), np.int32)
    labels[2:4, 10:15, 10:15] = 1
    labels[2:4, 20:25, 26:] = 2
    labels[:2, 2:6, 10:15] = 3
    labels[4:, 2:6, 20:25] = 4
    table, linked = measured(labels)
    inside = linked[2, 12, 12]
    assert len(table["label"]) == 4
    for label, touches in zip(table["label"], table["touches_border"], strict=True):
        assert touches == int(label != inside)


def test_objects_are_forgotten_when_they_end():
    one = np.zeros((20, 20), np.int32)
    one[5:10, 5:10] = 1
    linker, measurer = Linker(LinkSettings(gap=0)), SolidMeasurer()
    for plane in (one, np.zeros_like(one)):
        measurer.add(linker.add(plane))
    assert not measurer._open
    assert measurer.close()["volume_px3"].tolist() == [25]


def test_an_empty_stack_has_an_empty_table():
    table, _ = measured(np.zeros((3, 10, 10), np.int32))
    assert "volume_px3" in table
    assert all(len(column) == 0 for column in table.values())


def test_a_voxel_without_volume_is_refused():
    with pytest.raises(UserError):
        SolidMeasurer((1.0, 0.0, 1.0), "µm")


def test_moments_stay_exact_far_from_the_origin():
    labels = np.zeros((3, 40, 5000), np.int32)
    ball = ellipsoid((3, 9, 9), (1, 4, 4), (2, 4, 4))
    labels[:, 20:29, 4900:4909] = ball
    near = np.zeros((3, 40, 40), np.int32)
    near[:, 20:29, 20:29] = ball
    far_table, _ = measured(labels)
    near_table, _ = measured(near)
    for name in ("major_axis_px", "middle_axis_px", "minor_axis_px"):
        assert far_table[name] == pytest.approx(near_table[name], rel=1e-6)

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_samstar.cli.images import open_images, with_truth
from napari_samstar.cli.inputs import Calibration
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping


@pytest.fixture
def stack(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (4, 24, 32), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", array, photometric="minisblack")
    tifffile.imwrite(tmp_path / "plane.tif", array[3])
    labels = np.arange(4, dtype=np.uint16)[:, None, None] * np.ones((24, 32), np.uint16)
    tifffile.imwrite(tmp_path / "labels.tif", labels, photometric="minisblack")
    tifffile.imwrite(tmp_path / "float.tif", np.full((24, 32), 1.5, np.float32))
    return tmp_path


def opened(folder, planes=(), held_planes=(), held=()):
    files = [folder / "stack.tif"]
    return open_images(files, held, planes, held_planes, ImageMapping(), Calibration())


def test_the_truth_of_a_stack_is_that_of_the_plane(stack):
    found = opened(stack, ["0, 2"], ["1"])
    found = with_truth(found, [stack / "labels.tif"], [stack / "stack.tif"])
    assert [int(t.truth.max()) for t in found] == [0, 2, 1]
    assert [t.held_out for t in found] == [False, False, True]
    assert found[0].truth.shape == found[0].image.plane_shape


def test_images_without_a_truth_are_not_scored(stack):
    found = opened(stack, held=[stack / "plane.tif"])
    found = with_truth(found, [stack / "labels.tif"], [stack / "stack.tif", stack / "plane.tif"])
    assert [t.truth is None for t in found] == [False, True]


@pytest.mark.parametrize(
    ("name", "says"), [("float.tif", "holds fractions"), ("none.tif", "no file")]
)
def test_a_wrong_truth_is_said(stack, name, says):
    with pytest.raises(UserError, match=says):
        with_truth(opened(stack), [stack / name], [stack / "stack.tif"])


def test_a_truth_of_another_size_is_said(stack):
    tifffile.imwrite(stack / "small.tif", np.ones((24, 30), np.uint8))
    with pytest.raises(UserError, match="24 x 30, the image stack is 24 x 32"):
        with_truth(opened(stack), [stack / "small.tif"], [stack / "stack.tif"])


def test_a_plane_is_tuned_on_or_held_out(stack):
    with pytest.raises(UserError, match="both tuned on and held out"):
        opened(stack, ["3"], held=[stack / "stack.tif"])


@pytest.mark.parametrize("text", ["9", "a", "0:9:0", "-1"])
def test_planes_that_do_not_exist_get_one_sentence(stack, text):
    with pytest.raises(UserError, match="plane"):
        opened(stack, [text])


def test_planes_of_a_stack_are_named(stack):
    assert [x.image.name for x in opened(stack, ["0-1"])] == ["stack_plane0", "stack_plane1"]
    assert [x.image.name for x in opened(stack)] == ["stack"]

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import typer

from napari_samstar.cli.inputs import Calibration
from napari_samstar.cli.targets import open_targets, parse_planes, with_truth
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping


@pytest.mark.parametrize(
    ("text", "planes"),
    [
        ("3", [(3,)]),
        ("0,12", [(0, 12)]),
        ("0:20:8", [(0,), (8,), (16,)]),
        ("1,3:5", [(1, 3), (1, 4)]),
        ("0:2,0:2", [(0, 0), (0, 1), (1, 0), (1, 1)]),
        ("-1", [(-1,)]),
    ],
)
def test_planes_and_ranges(text, planes):
    assert list(parse_planes(text)) == planes


@pytest.mark.parametrize("text", ["", "a", "1:", ":3", "1:2:3:4", "0:9:0", "5:5", "1.5", "0:-1"])
def test_wrong_planes_are_said(text):
    with pytest.raises(typer.BadParameter):
        parse_planes(text)


@pytest.fixture
def stack(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (4, 24, 32), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", array, photometric="minisblack")
    tifffile.imwrite(tmp_path / "plane.tif", array[3])
    labels = np.arange(4, dtype=np.uint16)[:, None, None] * np.ones((24, 32), np.uint16)
    tifffile.imwrite(tmp_path / "labels.tif", labels, photometric="minisblack")
    tifffile.imwrite(tmp_path / "float.tif", np.ones((24, 32), np.float32))
    return tmp_path


def targets(folder, planes=(), held_planes=(), held=()):
    files = [folder / "stack.tif"]
    return open_targets(files, held, planes, held_planes, ImageMapping(), Calibration())


def test_the_truth_of_a_stack_is_that_of_the_plane(stack):
    found = targets(stack, [((0,), (2,))], [((1,),)])
    found = with_truth(found, [stack / "labels.tif"], [stack / "stack.tif"])
    assert [int(t.truth.max()) for t in found] == [0, 2, 1]
    assert [t.held_out for t in found] == [False, False, True]
    assert found[0].truth.shape == found[0].image.shape


def test_images_without_a_truth_are_not_scored(stack):
    found = targets(stack, held=[stack / "plane.tif"])
    found = with_truth(found, [stack / "labels.tif"], [stack / "stack.tif", stack / "plane.tif"])
    assert [t.truth is None for t in found] == [False, True]


@pytest.mark.parametrize(
    ("name", "says"), [("float.tif", "no whole numbers"), ("none.tif", "no file")]
)
def test_a_wrong_truth_is_said(stack, name, says):
    with pytest.raises(UserError, match=says):
        with_truth(targets(stack), [stack / name], [stack / "stack.tif"])


def test_a_truth_of_another_size_is_said(stack):
    tifffile.imwrite(stack / "small.tif", np.ones((24, 30), np.uint8))
    with pytest.raises(UserError, match="24 x 30, the image stack is 24 x 32"):
        with_truth(targets(stack), [stack / "small.tif"], [stack / "stack.tif"])


def test_the_same_picture_twice_is_said(stack):
    with pytest.raises(UserError, match="same picture"):
        targets(stack, [((3,),)], held=[stack / "stack.tif"])

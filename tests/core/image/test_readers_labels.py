"""Label files keep their numbers."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.readers.labels import read_labels

LABELS = np.zeros((40, 60), dtype=np.uint8)
LABELS[5:15, 5:15], LABELS[5:15, 25:35] = 1, 2
IMAGE = LoadedImage(np.zeros((40, 60), dtype=np.uint8), axes="YX")


def palette_png(path):
    picture = Image.fromarray(LABELS).convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] + [9] * (253 * 3))
    picture.save(path)


WRITERS = {
    "plain": lambda path: tifffile.imwrite(path, LABELS),
    "white is zero": lambda path: tifffile.imwrite(path, LABELS, photometric="miniswhite"),
    "float32": lambda path: tifffile.imwrite(path, LABELS.astype("f4")),
    "int32": lambda path: tifffile.imwrite(path, LABELS.astype("i4")),
    "palette": lambda path: tifffile.imwrite(
        path, LABELS, photometric="palette", colormap=np.arange(768).reshape(3, 256).astype("u2")
    ),
    "ImageJ": lambda path: tifffile.imwrite(path, LABELS, imagej=True),
    "grey as colours": lambda path: tifffile.imwrite(
        path, np.repeat(LABELS[..., None], 3, axis=2), photometric="rgb"
    ),
    "png": lambda path: iio.imwrite(path, LABELS, extension=".png"),
    "palette png": lambda path: palette_png(path.with_suffix(".png")),
    "16-bit png": lambda path: iio.imwrite(path, LABELS.astype("u2"), extension=".png"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_numbers_are_those_in_the_file(tmp_path, kind):
    path = tmp_path / ("labels.png" if "png" in kind else "labels.tif")
    WRITERS[kind](path)
    found = read_labels(path, IMAGE)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.labels.dtype == np.int64
    assert (found.is_mask, found.note) == (False, "")


@pytest.mark.parametrize("value", [255, 65535])
def test_a_mask_says_that_it_is_one_object_and_offers_its_parts(tmp_path, value):
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, np.where(LABELS > 0, value, 0).astype("u2"))
    found = read_labels(path, IMAGE)
    assert found.is_mask
    assert "counts as one object; it has 2 connected parts" in found.note
    parts = found.components()
    np.testing.assert_array_equal(parts.labels, LABELS)
    assert not parts.is_mask


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (LABELS + 0.5, "holds fractions or NaN"),
        (np.where(LABELS, np.nan, 0), "holds fractions or NaN"),
        (LABELS + 1j, "holds values of type complex"),
        (LABELS[:, :50], "40 x 50, the image image is 40 x 60"),
        (np.stack([LABELS, LABELS * 2, LABELS], axis=-1), "holds colours"),
    ],
)
def test_what_are_no_labels_of_this_image(tmp_path, array, sentence):
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, array, photometric="rgb" if array.ndim == 3 else "minisblack")
    with pytest.raises(UserError, match=sentence):
        read_labels(path, IMAGE)


def test_of_labels_of_a_stack_the_plane_of_the_image_is_taken(tmp_path):
    stack = LoadedImage(np.zeros((2, 3, 4, 40, 60), dtype=np.uint8), False, "TCZYX")
    labels = np.zeros((2, 4, 40, 60), dtype=np.uint16)
    labels += (10 * np.arange(2)[:, None] + np.arange(4)).reshape(2, 4, 1, 1).astype("u2")
    path = tmp_path / "labels.ome.tif"
    tifffile.imwrite(path, labels, metadata={"axes": "TZYX"}, photometric="minisblack")
    for plane in [(0, 2, 3), (1, 0, 1)]:
        found = read_labels(path, stack.at(plane))
        assert set(np.unique(found.labels)) == {10 * plane[0] + plane[2]}
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, labels, photometric="minisblack", metadata=None)
    with pytest.raises(UserError, match="give the labels of this very image"):
        read_labels(plain, LoadedImage(np.zeros((9, 40, 60)), False, "ZYX").at((8,)))

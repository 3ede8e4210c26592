from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.image import large
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.prepare import prepare

RNG = np.random.default_rng(0)
PLANES = {
    "uint8": RNG.integers(0, 256, (600, 70), np.uint8),
    "int16": RNG.normal(0, 3000, (601, 70)).astype(np.int16),
    "uint16 with few values": RNG.choice([3, 900, 60_000], (600, 70)).astype(np.uint16),
    "float": RNG.normal(size=(600, 70)),
    "colour": RNG.integers(0, 256, (600, 70, 3), np.uint8),
}


def both(monkeypatch, array, mapping):
    """The image as it is prepared whole, and window by window."""
    whole = prepare(array, mapping)
    monkeypatch.setattr(large, "LARGE_PIXELS", 1000)
    return whole, prepare(array, mapping)


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize(
    "mapping",
    [
        ImageMapping(),
        ImageMapping(low=2, high=97.3, invert=True),
        ImageMapping(stretch="none"),
        ImageMapping(stretch="limits", limits=(0.5, 300)),
    ],
)
def test_windows_of_a_large_plane_are_those_of_the_whole(monkeypatch, name, mapping):
    whole, lazy = both(monkeypatch, PLANES[name], mapping)
    assert not whole.is_large
    assert lazy.is_large
    assert lazy.key == whole.key
    assert lazy.shape == whole.shape
    for box in ((3, 5, 60, 30), (0, 590, 70, 600), (69, 0, 70, 600)):
        np.testing.assert_array_equal(lazy.crop(box), whole.crop(box))
    np.testing.assert_array_equal(lazy.pixels, whole.pixels)
    np.testing.assert_array_equal(lazy.thumbnail(7), whole.pixels[::7, ::7])


def test_percentiles_of_many_floats_are_close_to_those_of_all(monkeypatch):
    plane = np.random.default_rng(1).normal(size=(3000, 400))
    monkeypatch.setattr(large, "SAMPLE", 100_000)
    whole, lazy = both(monkeypatch, plane, ImageMapping(low=5, high=95))
    difference = np.abs(lazy.pixels.astype(int) - whole.pixels)
    assert 0 < difference.max() <= 3


def test_values_that_are_not_finite_are_counted_and_left_out(monkeypatch):
    plane = PLANES["float"].copy()
    plane[:300], plane[-1, 0] = np.nan, np.inf
    whole, lazy = both(monkeypatch, plane, ImageMapping())
    np.testing.assert_array_equal(lazy.pixels, whole.pixels)
    assert lazy.notes == whole.notes


def test_only_the_rows_of_a_window_are_read(monkeypatch):
    read = []

    class Stored:
        shape, dtype = (4, 600, 70), np.dtype(np.uint8)

        def __getitem__(self, index):
            read.append(index)
            return np.broadcast_to(np.arange(70, dtype=np.uint8), self.shape)[index]

    monkeypatch.setattr(large, "LARGE_PIXELS", 1000)
    lazy = prepare(Stored(), ImageMapping(plane=(2,)))
    read.clear()
    lazy.crop((0, 100, 70, 130))
    lazy.crop((5, 110, 20, 120))  # lies in the rows that were read
    assert read == [(2, slice(100, 130), slice(None))]


@pytest.mark.parametrize(("value", "sentence"), [(7.0, "is constant"), (np.nan, "no finite value")])
def test_a_large_plane_without_contrast_is_refused(monkeypatch, value, sentence):
    monkeypatch.setattr(large, "LARGE_PIXELS", 1000)
    with pytest.raises(UserError, match=sentence):
        prepare(np.full((600, 70), value))

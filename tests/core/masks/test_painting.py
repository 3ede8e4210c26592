from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.masks import labels as label_module
from napari_samstar.core.masks.labels import measure_painting, measurements
from napari_samstar.core.masks.painting import Painting
from napari_samstar.core.masks.store import MaskStore, PackedMask


@pytest.fixture
def store():
    """Forty discs of many sizes, some of them hidden by others, and an empty mask."""
    rng = np.random.default_rng(3)
    store = MaskStore((300, 420))
    rows, cols = np.mgrid[:300, :420]
    masks = [PackedMask.of(np.zeros((1, 1), bool), 0, 0)]
    for _ in range(40):
        row, col, radius = rng.integers(0, 300), rng.integers(0, 420), rng.integers(3, 40)
        masks.append(PackedMask.tight((rows - row) ** 2 + (cols - col) ** 2 <= radius**2, 0, 0))
    store.extend([*masks, masks[-1]])  # the last is hidden by its copy
    return store


def painted_whole(store, ids, on_top=()):
    """What painting mask after mask gives."""
    order = sorted(ids, key=lambda i: -store[i].area)
    labels = np.zeros(store.shape, np.int32)
    for value, i in enumerate([*order, *on_top], start=1):
        labels[store.dense(i)] = value
    seen = np.unique(labels)
    return np.searchsorted(seen, labels) + (0 if seen[0] == 0 else 1)


@pytest.mark.parametrize("on_top", [(), (5, 2)])
@pytest.mark.parametrize("side", [64, 100, 1000])
def test_windows_make_the_label_image(monkeypatch, store, on_top, side):
    ids = np.arange(len(store), dtype=np.int64)
    painting = Painting.of(store, ids, on_top)
    expected = painted_whole(store, ids.tolist(), on_top)
    found = np.zeros_like(expected)
    for (row0, col0, row1, col1), window in painting.windows(side):
        found[row0:row1, col0:col1] = window
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(painting.whole(), expected)
    np.testing.assert_array_equal(painting.thumbnail(7), expected[::7, ::7])
    assert painting.n_objects == expected.max() < len(store)


def test_a_painting_is_measured_as_its_label_image(monkeypatch, store):
    rgb = np.random.default_rng(0).integers(0, 256, (300, 420, 3), np.uint8)
    image = Micrograph(rgb, (0.5, 0.25), "nm")
    painting = Painting.of(store, np.arange(len(store), dtype=np.int64))
    whole = measurements(painting.whole(), image)
    monkeypatch.setattr(label_module, "SIDE", 64)
    table = measure_painting(painting, image)
    assert table.keys() == whole.keys()
    for name, column in whole.items():
        np.testing.assert_allclose(table[name], column, rtol=1e-9, err_msg=name)


def test_nothing_is_painted_and_measured_without_masks():
    painting = Painting.of(MaskStore((20, 30)), np.zeros(0, dtype=np.int64))
    assert painting.n_objects == 0
    assert not painting.whole().any()
    table = measure_painting(painting, Micrograph(np.zeros((20, 30, 3), np.uint8)))
    assert all(len(column) == 0 for column in table.values())

"""From masks to a label image, and from a label image to measurements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from skimage import measure

from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.masks.painting import SIDE, Labels, Painting

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import MaskStore


def paint(store: MaskStore, ids: NDArray[np.int64], on_top: Sequence[int] = ()) -> Labels:
    """Return a label image of masks; smaller masks are painted over larger ones.

    Parameters
    ----------
    store : MaskStore
    ids : ndarray of int64, shape (k,)
        Masks to paint.
    on_top : sequence of int
        Further masks, painted over all others in this order.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 is background; labels are consecutive from 1, larger masks first. A mask that is
        completely hidden by others has no label.
    """
    return Painting.of(store, ids, on_top).whole()


def measurements(labels: Labels, image: Micrograph) -> dict[str, NDArray[Any]]:
    """Measure every object of a label image.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
    image : Micrograph
        The image of the labels; gives intensities, pixel size and unit.

    Returns
    -------
    dict of str to ndarray
        One array per column: label, row and col of the centroid (px), area, equivalent diameter
        2 sqrt(area / pi), perimeter, major and minor axis, circularity 4 pi area / perimeter^2,
        solidity, aspect ratio, mean intensity (0 to 255, of the 8-bit image). Lengths and areas
        are in the image's unit, which is part of the column's name.
    """
    return _in_units(_measured(labels, image.pixels.mean(axis=2)), image)


def measure_painting(painting: Painting, image: Micrograph) -> dict[str, NDArray[Any]]:
    """Measure every object of a painting of any size, as `measurements` does.

    The objects are measured block by block, so that only a small part of labels and image is in
    memory.
    """
    visible = np.flatnonzero(painting.values[1:])
    boxes, values = painting.boxes[visible], painting.values[1:][visible]
    tables = []
    for chosen in _blocks(boxes):
        row0, col0 = boxes[chosen, :2].min(axis=0).tolist()
        row1, col1 = boxes[chosen, 2:].max(axis=0).tolist()
        window = painting.window(row0, col0, row1, col1)
        window[~np.isin(window, values[chosen])] = 0
        gray = image.crop((col0, row0, col1, row1)).mean(axis=2)
        table = _measured(window, gray)
        table["centroid-0"] += row0
        table["centroid-1"] += col0
        tables.append(table)
    if not tables:
        one = _measured(np.ones((3, 3), dtype=np.int32), np.zeros((3, 3)))
        return _in_units({name: column[:0] for name, column in one.items()}, image)
    whole = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    order = np.argsort(whole["label"])
    return _in_units({name: column[order] for name, column in whole.items()}, image)


def _blocks(boxes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the positions of boxes that begin in the same square of `SIDE` px."""
    if not len(boxes):
        return
    cells = boxes[:, :2] // SIDE
    _, block = np.unique(cells, axis=0, return_inverse=True)
    order = np.argsort(block.ravel(), kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(block.ravel()[order])) + 1)


def _measured(labels: Labels, gray: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Measure in px, as scikit-image names it."""
    names = ("label", "area", "centroid", "perimeter", "axis_major_length", "axis_minor_length",
             "solidity", "intensity_mean")  # fmt: skip
    found: dict[str, NDArray[Any]] = measure.regionprops_table(labels, gray, properties=names)
    return found


def _in_units(found: dict[str, NDArray[Any]], image: Micrograph) -> dict[str, NDArray[Any]]:
    """Turn px into the image's unit."""
    pixel = image.pixel_size or (1.0, 1.0)
    # skimage measures perimeters only on square pixels. On other pixels lengths are measured in
    # px and scaled by the geometric mean of the two sizes.
    square = bool(np.isclose(*pixel, rtol=1e-3))
    length = float(np.sqrt(pixel[0] * pixel[1])) if not square else pixel[0]
    area, perimeter = found["area"], found["perimeter"]
    with np.errstate(divide="ignore", invalid="ignore"):
        circularity = np.minimum(4 * np.pi * area / perimeter**2, 1.0)
        aspect = found["axis_major_length"] / found["axis_minor_length"]
    unit = image.unit
    return {
        "label": found["label"],
        "row_px": found["centroid-0"],
        "col_px": found["centroid-1"],
        f"area_{unit}2": area * pixel[0] * pixel[1],
        f"diameter_{unit}": 2 * np.sqrt(area / np.pi) * length,
        f"perimeter_{unit}": perimeter * length,
        f"major_axis_{unit}": found["axis_major_length"] * length,
        f"minor_axis_{unit}": found["axis_minor_length"] * length,
        "circularity": circularity,
        "aspect_ratio": aspect,
        "solidity": found["solidity"],
        "mean_intensity": found["intensity_mean"],
    }


def measure_planes(
    planes: Labels, image: Micrograph | None, pixel_size: tuple[float, float] | None, unit: str
) -> dict[str, NDArray[Any]]:
    """Measure every object of every plane, see `measurements`.

    Parameters
    ----------
    planes : ndarray of int, shape (n, H, W)
    image : Micrograph, optional
        The image of a single plane. Without it intensities are not measured.
    pixel_size : (float, float), optional
        (row, col), in `unit`; used without an `image`.
    unit : str
        Used without an `image`.

    Returns
    -------
    dict of str to ndarray
        As of `measurements`, with a column "plane" where there are several planes.
    """
    if image is not None and len(planes) == 1:
        return measurements(planes[0], image)
    blank = Micrograph(np.zeros((*planes.shape[1:], 3), np.uint8), pixel_size, unit)
    tables = [measurements(plane, blank) for plane in planes]
    whole = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    del whole["mean_intensity"]
    if len(planes) > 1:
        counts = [len(t["label"]) for t in tables]
        whole = {"plane": np.repeat(np.arange(len(planes)), counts), **whole}
    return whole

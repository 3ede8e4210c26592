"""Kept masks -> label image and measurements."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray
from skimage import measure

from napari_samstar.core.image.micrograph import Micrograph

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import MaskStore

Labels = NDArray[np.int32]


def paint(store: MaskStore, ids: NDArray[np.int64], on_top: Sequence[int] = ()) -> Labels:
    """Paint masks, smaller ones on top, one id each.

    Parameters
    ----------
    ids : ndarray of int64, shape (k,)
    on_top : sequence of int
        Further masks, painted over all others in this order.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 is background; ids run from 1 without gaps, larger masks first. A mask that others
        hide altogether gets none.
    """
    labels = np.zeros(store.shape, dtype=np.int32)
    order = np.argsort(-store.areas(ids.tolist()), kind="stable")
    painted = []
    for value, mask_id in enumerate([*ids[order].tolist(), *on_top], start=1):
        row, col, row1, col1 = store[mask_id].box
        if row < row1:  # cleaning, or a poor model, can leave a mask without a pixel
            window = store.window(mask_id)
            labels[row:row1, col:col1][window] = value
            painted.append((value, labels[row:row1, col:col1], window))
    seen = [value for value, view, window in painted if (view[window] == value).any()]
    return _without_gaps(labels, seen, len(ids) + len(on_top))


def _without_gaps(labels: Labels, seen: list[int], highest: int) -> Labels:
    """Give the ids `seen` the numbers from 1; dear on a large image, so only where need be."""
    if len(seen) == highest:
        return labels
    new = np.zeros(highest + 1, dtype=np.int32)
    new[seen] = np.arange(1, len(seen) + 1)
    return np.asarray(new[labels], dtype=np.int32)


def measurements(labels: Labels, image: Micrograph) -> dict[str, NDArray[Any]]:
    """Measure every object of `labels`; lengths in the image's unit, one array per column.

    Columns: label, row and col of the centroid (px), area, equivalent diameter
    2 sqrt(area / pi), perimeter, major and minor axis, circularity 4 pi area / perimeter^2,
    solidity, aspect ratio, mean intensity (0 to 255, of what SAM saw).
    """
    pixel = image.pixel_size or (1.0, 1.0)
    gray = image.rgb.mean(axis=2)
    names = ("label", "area", "centroid", "perimeter", "axis_major_length", "axis_minor_length",
             "solidity", "intensity_mean")  # fmt: skip
    # skimage measures perimeters only where pixels are square; then lengths scale alike.
    square = bool(np.isclose(*pixel, rtol=1e-3))
    found = measure.regionprops_table(labels, gray, properties=names)
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


def write_csv(table: dict[str, NDArray[Any]], file: TextIO) -> None:
    """Write a table of equally long columns as CSV; a value that is not finite stays empty."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table)
    for row in zip(*(column.tolist() for column in table.values()), strict=True):
        writer.writerow([_cell(value) for value in row])


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.6g}" if np.isfinite(value) else ""


def measure_planes(
    planes: Labels, image: Micrograph | None, pixel_size: tuple[float, float] | None, unit: str
) -> dict[str, NDArray[Any]]:
    """Measure every object of every plane; see `measurements`.

    Parameters
    ----------
    planes : ndarray of int, shape (n, H, W)
    image : Micrograph, optional
        What lies under a single plane; without it there are no intensities.
    pixel_size, unit
        Used without an `image`.

    Returns
    -------
    dict of str to ndarray
        With a column "plane" where there are several.
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

"""Writes the labels of a stack plane by plane: one TIFF file, or OME-Zarr where it is large."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_samstar.api.batch_folder import LABELS_ZARR
from napari_samstar.core.results.ome_zarr import CHUNK, LabelsWriter
from napari_samstar.core.results.outputs import LABELS, write_labels

if TYPE_CHECKING:
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.masks.painting import Labels

LARGEST_TIFF = 2**31
"""Bytes of labels above which they are written as OME-Zarr."""


class StackLabels(Protocol):
    """Takes the planes of a label stack one after another."""

    def add(self, k: int, labels: Labels) -> None:
        """Write the plane at position `k`, int32 of shape (H, W)."""

    def close(self) -> None:
        """Finish the file; call it after the last plane."""


class TiffLabels:
    """A TIFF file of n planes, compressed once all are there.

    Until then they lie in a file that is mapped into memory, so that none is held.

    Parameters
    ----------
    folder : Path
        Where the file is written, under its usual name.
    n : int
    image : Micrograph
        One of the planes; gives shape, pixel size and unit.
    """

    def __init__(self, folder: Path, n: int, image: Micrograph) -> None:
        self._folder, self._image = folder, image
        self._raw = folder / ".labels.raw"
        self._whole = np.memmap(self._raw, np.int32, "w+", shape=(n, *image.shape))

    def add(self, k: int, labels: Labels) -> None:
        """See `StackLabels.add`."""
        self._whole[k] = labels

    def close(self) -> None:
        """See `StackLabels.close`."""
        write_labels(self._whole, self._image, self._folder / LABELS)
        del self._whole
        self._raw.unlink()


class ZarrLabels:
    """An OME-Zarr label image.

    Parameters
    ----------
    folder : Path
        Where it is written, under its usual name.
    sizes : tuple of int
        Numbers of planes along each axis before rows and columns.
    axes : str
        The letters of these axes.
    image : Micrograph
        One of the planes; gives shape, pixel size and unit.
    steps : (float or None, float or None)
        Distance of planes in the image's unit, and of frames in s.
    """

    def __init__(
        self,
        folder: Path,
        sizes: tuple[int, ...],
        axes: str,
        image: Micrograph,
        steps: tuple[float | None, float | None],
    ) -> None:
        self._sizes = sizes
        self._writer = LabelsWriter.create(
            folder / LABELS_ZARR, (*sizes, *image.shape), f"{axes}YX", pixel_size=image.pixel_size,
            unit=image.unit, z_step=steps[0], frame_time=steps[1],
        )  # fmt: skip

    def add(self, k: int, labels: Labels) -> None:
        """See `StackLabels.add`."""
        place = tuple(int(i) for i in np.unravel_index(k, self._sizes))
        for row, col in _corners(labels.shape):
            self._writer.write(place, row, col, labels[row : row + CHUNK, col : col + CHUNK])

    def close(self) -> None:
        """See `StackLabels.close`."""
        self._writer.finish()


def _corners(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    yield from itertools.product(*(range(0, n, CHUNK) for n in shape))

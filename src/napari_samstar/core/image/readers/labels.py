"""Label images in files: the stored numbers, never inverted, stretched or coloured."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.planes import find_plane
from napari_samstar.core.image.readers.base import head_of
from napari_samstar.core.image.readers.lazy import damaged
from napari_samstar.core.image.readers.ome_zarr import OmeZarrReader
from napari_samstar.core.image.readers.tiff import TiffReader, read_stored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.core.image.loaded import LoadedImage

MASK_VALUES = (255, 65535)
"""A file whose only value besides 0 is one of these is a mask, not labels."""


@dataclass(frozen=True, eq=False)
class LabelFile:
    """Labels of one plane.

    Attributes
    ----------
    labels : ndarray of int64, shape (H, W)
        0 is background.
    is_mask : bool
        Whether all objects share one value, 255 or 65535, so that they count as one.
    name : str
        Of the file.
    """

    labels: NDArray[np.int64]
    is_mask: bool
    name: str

    @property
    def note(self) -> str:
        """What is to be said of a mask; empty for labels."""
        if not self.is_mask:
            return ""
        _, n = ndimage.label(self.labels, np.ones((3, 3)))
        return (
            f"{self.name} is a mask of one value, so it counts as one object; it has {n} connected "
            "parts."
        )

    def components(self) -> LabelFile:
        """Return labels in which each connected part of a mask is an object, 8-connected."""
        labels, _ = ndimage.label(self.labels, np.ones((3, 3)))
        return dataclasses.replace(self, labels=labels.astype(np.int64), is_mask=False)


def read_labels(path: str | Path, image: LoadedImage, what: str = "labels") -> LabelFile:
    """Read the labels of the plane of an image; of labels of a stack those of this plane.

    Parameters
    ----------
    image : LoadedImage
    what : str
        How a sentence names the labels.

    Raises
    ------
    UserError
        For a file that cannot be read, holds colours or fractions, or is of another size.
    """
    path = Path(path).expanduser()
    array, axes = _stored(path)
    plane = _plane(array, axes, image, path, what)
    labels = _whole_numbers(plane, path, what)
    values = np.unique(labels)
    return LabelFile(labels, set(values.tolist()) - {0} in [{v} for v in MASK_VALUES], path.name)


def _stored(path: Path) -> tuple[Any, str]:
    """Return the stored numbers and the letters of their axes."""
    head = head_of(path)
    if TiffReader().supports(path, head):
        return read_stored(path)
    if head.startswith(b"\x89PNG"):
        return _png(path), "YX"
    zarr = OmeZarrReader()
    if not zarr.supports(path, head):
        raise UserError(
            f"{path.name} is not a label image of a kind that is read here: save it as TIFF, PNG "
            "or OME-Zarr."
        )
    image = zarr.read(path)
    return image.finest, image.axes


def _png(path: Path) -> NDArray[Any]:
    """Return the numbers of a PNG; of one with a palette those of the colours."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture)
    except Exception as error:  # Pillow's decoders raise many kinds
        raise damaged(path, error) from error


def _plane(array: Any, axes: str, image: LoadedImage, path: Path, what: str) -> NDArray[Any]:
    """Return the labels of the image's plane."""
    shape = image.plane_shape
    if array.ndim == len(shape) + 1 and array.shape[-1] in (3, 4) and array.shape[:2] == shape:
        array, axes = _without_colour(np.asarray(array), path, what), "YX"
    if tuple(array.shape) == shape:
        return np.asarray(array)
    if array.ndim > 2 and tuple(array.shape[-2:]) == shape:
        index = _index(array.shape[:-2], axes, image)
        if index is not None:
            return np.asarray(array[index])
    raise UserError(
        f"The {what} {path.name} is {_size(array.shape)}, the image {image.name} "
        f"is {_size(shape)}: give the labels of this very image."
    )


def _index(sizes: tuple[int, ...], axes: str, image: LoadedImage) -> tuple[int, ...] | None:
    """Return where the image's plane is along the leading axes of labels; None where it is not."""
    at = find_plane(image.array, image.mapping, image.rgb, image.axes).parts[0].index
    letters, image_letters = axes[: len(sizes)], image.axes[: len(at)]
    if letters and set(letters) <= set(image_letters):
        index = tuple(at[image_letters.index(letter)] for letter in letters)
    elif len(sizes) == len(at):
        index = at
    else:
        # Labels have no channels.
        index = tuple(k for k, a in zip(at, image_letters, strict=False) if a != "C")
    fits = len(index) == len(sizes) and all(k < n for k, n in zip(index, sizes, strict=True))
    return index if fits else None


def _without_colour(array: NDArray[Any], path: Path, what: str) -> NDArray[Any]:
    """Return one channel of grey that is stored as colours."""
    if not (array[..., :3] == array[..., :1]).all():
        raise UserError(
            f"The {what} {path.name} holds colours: save it as whole numbers, one for each object."
        )
    return array[..., 0]


def _whole_numbers(array: NDArray[Any], path: Path, what: str) -> NDArray[np.int64]:
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (array == np.rint(array))
        if not whole.all():
            raise UserError(
                f"The {what} {path.name} holds fractions or NaN: save it as whole numbers, one for "
                "each object."
            )
    elif array.dtype.kind not in "iub":
        raise UserError(
            f"The {what} {path.name} holds values of type {array.dtype}: save it as whole numbers."
        )
    return array.astype(np.int64)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))

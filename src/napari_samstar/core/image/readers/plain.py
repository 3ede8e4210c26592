"""PNG, JPEG and BMP files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.planes import MOST_PIXELS
from napari_samstar.core.image.readers.lazy import damaged
from napari_samstar.core.image.readers.paper import is_paper, paper_note
from napari_samstar.core.image.readers.sidecars import size_beside
from napari_samstar.core.image.units import UNKNOWN, Calibration, in_nm_or_um

_HEADS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")


class PlainReader:
    """Reads PNG, JPEG and BMP; their resolution is a pixel size unless it is one of paper."""

    name = "plain"
    kinds = "PNG, JPEG or BMP"
    suffixes: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".bmp")

    def supports(self, path: Path, head: bytes) -> bool:
        """Return whether the content is one of these, whatever the file's ending."""
        return head.startswith(_HEADS)

    def read(self, path: Path) -> LoadedImage:
        """See `Reader.read`."""
        array, rgb, dpi, notes = _pixels(path)
        axes = "YXS" if rgb else "YX"
        (size, unit), source = _pixel_size(path, array.shape[1], dpi)
        return LoadedImage(
            array, rgb, axes, size, unit, name=path.stem, notes=(*notes, *source), path=path
        )


def _pixel_size(path: Path, width: int, dpi: Any) -> tuple[Calibration, tuple[str, ...]]:
    """Return the pixel size, and a note on where it is from or why it is not known.

    Parameters
    ----------
    width : int
        Columns of the image, px.
    dpi : sequence of float or None
        (column, row) pixels per inch.
    """
    beside, maker = size_beside(path, width)
    if beside[0] is not None:
        return beside, (f"The pixel size is from {maker}.",)
    size, unit = _of_dpi(dpi)
    if is_paper(size, unit):
        return UNKNOWN, paper_note(size, unit)
    source = () if size is None else ("The pixel size is from the file's resolution.",)
    return (size, unit), source


def _of_dpi(dpi: Any) -> Calibration:
    try:
        cols, rows = (1 / float(v) for v in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return UNKNOWN
    return in_nm_or_um(rows, cols, "inch")


def _pixels(path: Path) -> tuple[Any, bool, Any, tuple[str, ...]]:
    """Return values, whether they are colours, pixels per inch (None without), and notes."""
    try:
        # Pillow warns at a size that is ordinary here; above twice that it refuses.
        with warnings.catch_warnings(), iio.imopen(path, "r", plugin="pillow") as file:
            warnings.simplefilter("ignore")
            rows, cols = file.properties().shape[:2]
            if rows * cols > MOST_PIXELS:
                raise _too_large(path)
            meta = file.metadata(index=0)
            cmyk, dpi = meta.get("mode") == "CMYK", meta.get("dpi")
            array = np.asarray(file.read(index=0, mode="RGB" if cmyk else None))
    except (UserError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise many kinds
        if type(error).__name__ == "DecompressionBombError":
            raise _too_large(path) from error
        raise damaged(path, error) from error
    if array.ndim == 3 and array.shape[2] == 2:  # grey with transparency
        return array[..., 0], False, dpi, ("Its transparency was ignored.",)
    return array, array.ndim == 3, dpi, ()


def _too_large(path: Path) -> UserError:
    return UserError(f"{path.name} has too many pixels for one image: crop it or save it as TIFF.")

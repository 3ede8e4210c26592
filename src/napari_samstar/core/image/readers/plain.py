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

_HEADS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")


class PlainReader:
    """Reads PNG, JPEG and BMP; such files say nothing of the size of a pixel."""

    name = "plain"
    kinds = "PNG, JPEG or BMP"
    suffixes: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".bmp")

    def supports(self, path: Path, head: bytes) -> bool:
        """Return whether the content is one of these, whatever the file's ending."""
        return head.startswith(_HEADS)

    def read(self, path: Path) -> LoadedImage:
        """See `Reader.read`."""
        array, rgb, notes = _pixels(path)
        axes = "YXS" if rgb else "YX"
        return LoadedImage(array, rgb, axes, name=path.stem, notes=notes, path=path)


def _pixels(path: Path) -> tuple[Any, bool, tuple[str, ...]]:
    try:
        # Pillow warns at a size that is ordinary here; above twice that it refuses.
        with warnings.catch_warnings(), iio.imopen(path, "r", plugin="pillow") as file:
            warnings.simplefilter("ignore")
            rows, cols = file.properties().shape[:2]
            if rows * cols > MOST_PIXELS:
                raise _too_large(path)
            cmyk = file.metadata(index=0).get("mode") == "CMYK"
            array = np.asarray(file.read(index=0, mode="RGB" if cmyk else None))
    except (UserError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise many kinds
        if type(error).__name__ == "DecompressionBombError":
            raise _too_large(path) from error
        raise damaged(path, error) from error
    if array.ndim == 3 and array.shape[2] == 2:  # grey with transparency
        return array[..., 0], False, ("Its transparency was ignored.",)
    return array, array.ndim == 3, ()


def _too_large(path: Path) -> UserError:
    return UserError(f"{path.name} has too many pixels for one image: crop it or save it as TIFF.")

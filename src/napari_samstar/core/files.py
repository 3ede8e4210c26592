"""Image files in, and any file out without ever leaving half of it behind."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np

from napari_samstar.core.calibration import UNKNOWN
from napari_samstar.core.errors import UserError
from napari_samstar.core.tiff import MOST_PIXELS, damaged, read_tiff

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PLAIN = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """What an image file holds, as stored; `images.prepare` makes of it what SAM sees.

    Attributes
    ----------
    array : array
        (..., H, W), or (..., H, W, 3 or 4) where `rgb`. NumPy, or lazy where the file is large:
        indexing reads.
    rgb : bool
        Whether the last axis is colour.
    axes : str
        One letter per axis, as in TIFF: T time, Z depth, C channel, Y row, X column, S colour.
    pixel_size : tuple of float, optional
        (row, col) in `unit`.
    unit : str
        "nm", "µm" or, where the file does not say, "px".
    name : str
        File name without its ending.
    notes : tuple of str
        What was decided while reading, one sentence each.
    """

    array: Any
    rgb: bool
    axes: str
    pixel_size: tuple[float, float] | None
    unit: str
    name: str
    notes: tuple[str, ...] = ()


def read_image(path: str | Path) -> LoadedImage:
    """Read a TIFF (also OME, ImageJ, BigTIFF), PNG, JPEG or BMP file.

    The content decides, not the ending of the name. TIFF stacks above
    `napari_samstar.core.tiff.LAZY_BYTES` are opened lazily.

    Raises
    ------
    UserError
        For a file that is missing, a folder, unreadable, of another kind, damaged, incomplete
        (found before memory is allocated) or with planes above 400 million pixels.
    """
    path = Path(path).expanduser()
    head = _head(path)
    try:
        if head.startswith(_TIFF):
            array, rgb, axes, (size, unit), notes = read_tiff(path)
        elif head.startswith(_PLAIN):
            array, rgb, axes, (size, unit), notes = _read_plain(path)
        else:
            raise UserError(
                f"{path.name} is not an image of a kind that is read here: "
                "save it as TIFF, PNG, JPEG or BMP."
            )
    except MemoryError:
        raise UserError(f"{path.name} does not fit in memory: crop it first.") from None
    return LoadedImage(array, rgb, axes, size, unit, path.stem.removesuffix(".ome"), notes)


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise UserError(f"{path} is a folder: give one of the images in it.")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise UserError(f"There is no file {path}: check its name.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its rights.") from None
    if not head:
        raise UserError(f"{path.name} is empty: copy or export it again.")
    return head


def _read_plain(path: Path) -> Any:
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
        return array[..., 0], False, "YX", UNKNOWN, ("Its transparency was ignored.",)
    rgb = array.ndim == 3
    return array, rgb, "YXS" if rgb else "YX", UNKNOWN, ()


def _too_large(path: Path) -> UserError:
    return UserError(f"{path.name} has too many pixels for one image: crop it or save it as TIFF.")


@contextlib.contextmanager
def write_atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; what is written there becomes `path` at the end.

    An existing file is replaced in one step, so a reader sees the old or the new content, never a
    half. When the block raises, the temporary file is removed and `path` is as before.

    >>> with write_atomic("out/labels.tif") as part:
    ...     tifffile.imwrite(part, labels)

    Raises
    ------
    UserError
        When the folder is missing or read-only, `path` is a folder, or the disk is full.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file in it.")
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent}: create it or choose another.")
    # The ending stays, because writers choose the format by it.
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> UserError:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return UserError(f"The disk is full, {path.name} was not written: free some space.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(f"{path.parent} cannot be written to: choose another folder.")
    return UserError(f"{path} could not be written ({error.strerror or error}): try another place.")

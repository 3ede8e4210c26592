"""The one table of readers: ours, and those of other packages.

Another package adds one through the entry point group `napari_samstar.readers`, which names an
object like `Reader`. Readers of other packages are tried first.
"""

from __future__ import annotations

import inspect
import logging
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.readers.base import head_of
from napari_samstar.core.image.readers.ome_zarr import OmeZarrReader
from napari_samstar.core.image.readers.optional import OPTIONAL_READERS
from napari_samstar.core.image.readers.plain import PlainReader
from napari_samstar.core.image.readers.tiff import TiffReader

if TYPE_CHECKING:
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.readers.base import Reader

log = logging.getLogger("napari_samstar")

GROUP = "napari_samstar.readers"

_OURS: tuple[Reader, ...] = (
    OmeZarrReader(),
    TiffReader(),
    PlainReader(),
    *OPTIONAL_READERS,
)


@cache
def readers() -> tuple[Reader, ...]:
    """Return every reader, in the order in which they are tried.

    One of another package that does not load is left out, with a warning in the log.
    """
    found: list[Reader] = []
    for entry in metadata.entry_points(group=GROUP):
        try:
            found.append(entry.load())
        except Exception as error:  # somebody else's code must not stop the program
            log.warning("the reader %s does not load", entry.value, exc_info=error)
    return (*found, *_OURS)


def suffixes() -> tuple[str, ...]:
    """Return what the names of image files end with, in lower case, for any reader."""
    # A reader of another package may have been written before readers named them.
    return tuple(one for reader in readers() for one in getattr(reader, "suffixes", ()))


def read_image(path: str | Path, series: int | None = None) -> LoadedImage:
    """Read an image file, or a folder of zarr, with the first reader that supports it.

    The content decides, not the ending of the name.

    Parameters
    ----------
    series : int, optional
        Which image of a file that holds several; by default the first that is no thumbnail.

    Raises
    ------
    UserError
        For a file that is missing, unreadable, of a format that no reader supports, damaged,
        incomplete (found before memory is allocated), or with more than 400 million pixels that
        can only be decoded together.
    """
    path = Path(path).expanduser()
    head = head_of(path)
    try:
        for reader in readers():
            if not reader.supports(path, head):
                continue
            if series is None:
                return reader.read(path)
            if "series" in inspect.signature(reader.read).parameters:
                return reader.read(path, series)  # type: ignore[call-arg]
            if series == 0:
                return reader.read(path)
            raise UserError(f"{path.name} holds one image: leave the series out, or give 0.")
    except MemoryError:
        raise UserError(f"{path.name} does not fit in memory: crop it first.") from None
    if path.is_dir():
        raise UserError(f"{path} is a folder: give one of the images in it.")
    usual = (reader for reader in reversed(readers()) if reader not in OPTIONAL_READERS)
    kinds = ", ".join(reader.kinds for reader in usual)
    raise UserError(f"{path.name} is not an image of a kind that is read here: save it as {kinds}.")

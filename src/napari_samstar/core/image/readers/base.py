"""What a reader of image files is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from napari_samstar.core.image.loaded import LoadedImage


class Reader(Protocol):
    """Reads one or more file formats.

    Attributes
    ----------
    name : str
        Identifier.
    kinds : str
        The formats, as a sentence names them: "TIFF", "PNG, JPEG or BMP".
    suffixes : tuple of str
        What such files' names usually end with, in lower case; a folder's files are chosen by it.
    """

    name: str
    kinds: str
    suffixes: tuple[str, ...]

    def supports(self, path: Path, head: bytes) -> bool:
        """Return whether this reader reads a path.

        Parameters
        ----------
        head : bytes
            The first 16 bytes of a file; empty for a folder.
        """

    def read(self, path: Path) -> LoadedImage:
        """Return the image, with the names of its axes and, where known, its pixel size.

        Raises
        ------
        UserError
            For a damaged or incomplete file, or one too large to work on.
        """

"""What a reader of image files is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from napari_samstar.core.errors import UserError

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


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file, none of a folder; UserError where it cannot be read."""
    if path.is_dir():
        return b""
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

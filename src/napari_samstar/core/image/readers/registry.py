"""Image files in, and any file out without ever leaving half of it behind."""

from __future__ import annotations

from pathlib import Path

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.readers.plain import _read_plain
from napari_samstar.core.image.readers.tiff import read_tiff

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PLAIN = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")


def read_image(path: str | Path) -> LoadedImage:
    """Read a TIFF (also OME, ImageJ, BigTIFF), PNG, JPEG or BMP file.

    The content decides, not the ending of the name. TIFF stacks above
    `napari_samstar.core.image.readers.tiff.LAZY_BYTES` are opened lazily.

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

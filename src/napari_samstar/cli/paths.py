"""From what a user names, files, folders and wildcards, to images."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_samstar.core.errors import UserError

_RESULTS = ("labels.tif", "labels.ome.zarr", "overlay.png", "front.png", "view.png")
"""What we write ourselves; taken only where the user gives the name."""


def expand(paths: Sequence[str | Path]) -> list[Path]:
    """Return the images that paths, folders and wildcards name, in the order of the arguments.

    Parameters
    ----------
    paths : sequence of str or Path
        Each is one of:

        - a file, which is taken whatever its name is;
        - a zarr folder, which is one image;
        - any other folder, which means the images in it, not those of folders in it;
        - a wildcard such as ``'run*/img_??.tif'`` or ``'**/*.tif'``, expanded here since not every
          shell does; folders that it finds are left out unless they are zarr.

    Returns
    -------
    list of Path
        Each image once. The images of one argument are in natural order: img2 before img10.

    Raises
    ------
    UserError
        For an argument that names no image.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for image in _images_of(str(path)):
            found.setdefault(image.resolve(), image)
    return list(found.values())


def expand_each(paths: Sequence[str | Path]) -> list[Path]:
    """Return the files that paths, folders and wildcards name, as often as they are named.

    For files that belong to images in order, of which one may belong to several.
    """
    found: list[Path] = []
    for path in paths:
        plain = Path(path).expanduser()
        several = plain.is_dir() or (glob.has_magic(str(path)) and not plain.exists())
        found += expand([path]) if several else [plain]
    return found


def natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Return what a path is sorted by: text without regard to case, numbers by their value."""
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold())
        for part in re.split(r"(\d+)", str(path))
        if part
    )


def _images_of(text: str) -> list[Path]:
    """Return the images that one argument names."""
    path = Path(text).expanduser()
    if path.is_dir():
        return [path] if _is_zarr(path) else _images_in(path)
    if path.exists():
        return [path]
    if glob.has_magic(text):
        return _matching(str(path))
    raise UserError(f"There is no file or folder {path}: check its name.")


def _images_in(folder: Path) -> list[Path]:
    try:
        images = _sorted(one for one in folder.iterdir() if _is_image(one))
    except PermissionError:
        raise UserError(f"The folder {folder} cannot be read: check its rights.") from None
    if not images:
        raise UserError(
            f"There are no images in {folder}: give a folder with TIFF, PNG, JPEG, BMP or OME-Zarr "
            "images, or name the files."
        )
    return images


def _matching(pattern: str) -> list[Path]:
    """Return the images that a wildcard finds; nothing inside a zarr folder is one."""
    matches = [Path(one) for one in glob.glob(pattern, recursive=True)]
    if glob.has_magic(Path(pattern).name):
        matches = [one for one in matches if _is_image(one)]
    images = _sorted(
        one
        for one in matches
        if (one.is_file() or _is_zarr(one)) and not any(_is_zarr(around) for around in one.parents)
    )
    if not images:
        raise UserError(f"No image matches {pattern}: check the folder and the wildcard.")
    return images


def _is_image(path: Path) -> bool:
    """Return whether the user means a file or folder without having given its name."""
    from napari_samstar.core.image.readers.registry import suffixes

    name = path.name.lower()
    if name.startswith(".") or name in _RESULTS:
        return False
    return _is_zarr(path) if path.is_dir() else name.endswith(suffixes())


def _is_zarr(path: Path) -> bool:
    """Return whether a folder is zarr; one that is still being written is not an image."""
    from napari_samstar.core.image.readers.ome_zarr import is_zarr

    return path.is_dir() and is_zarr(path) and not path.name.endswith(".part")


def _sorted(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: (natural_key(path), str(path)))

"""What the file of a layer says of it: axes, channels, pixel size. No pixel is kept."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.readers.ome_zarr import OmeZarrReader
from napari_samstar.core.image.readers.plain import PlainReader
from napari_samstar.core.image.readers.tiff import TiffReader

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_samstar.core.image.loaded import LoadedImage

WAIT = 0.04
"""The longest time that the window waits for a file, s."""

_EXECUTOR = ThreadPoolExecutor(1, thread_name_prefix="samstar-headers")
_running: dict[str, Future[LoadedImage | None]] = {}

_AXES = {
    "t": "T", "time": "T", "frame": "T", "frames": "T",
    "z": "Z", "depth": "Z", "slice": "Z", "plane": "Z",
    "c": "C", "ch": "C", "channel": "C", "channels": "C",
    "y": "Y", "row": "Y", "rows": "Y", "x": "X", "col": "X", "column": "X", "columns": "X",
}  # fmt: skip


def read_about(path: str | Path) -> LoadedImage | None:
    """Return what a file says of its image; None for unreadable files and kinds not known here."""
    path = Path(path)
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return None
    return _read(path, changed)


def about_layer(layer: Image | Labels, wait: float | None = WAIT) -> LoadedImage | None:
    """Return what the layer's file says of it, where the file's image has the layer's shape.

    Parameters
    ----------
    wait : float or None
        How long to wait for the file, s; None waits until it is read. A file on a slow disk gives
        None at first, and what it says once it has been read.
    """
    path = layer.source.path
    found = None if not path else _read_within(str(path), wait)
    if found is None:
        return None
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    return found if tuple(found.finest.shape) == tuple(data.shape) else None


def layer_axes(layer: Image | Labels, wait: float | None = WAIT) -> str:
    """Return one letter for each axis of a layer's data: from its labels, else from its file.

    Empty where they are not known; see `LoadedImage.axes`, and `about_layer` for `wait`.
    """
    names = [_AXES.get(str(name).strip().lower(), "") for name in layer.axis_labels]
    letters = "".join(names)
    if all(names) and len(set(letters)) == len(letters) and letters.endswith("YX"):
        return letters + ("S" if getattr(layer, "rgb", False) else "")
    found = about_layer(layer, wait)
    return "" if found is None else found.axes


def _read_within(path: str, wait: float | None) -> LoadedImage | None:
    """Read a file's header on another thread; None if it takes longer than `wait`."""
    running = _running.get(path)
    if running is None:
        running = _running[path] = _EXECUTOR.submit(read_about, path)
    try:
        found = running.result(wait)
    except TimeoutError:
        return None
    _running.pop(path, None)  # the next call looks whether the file has changed
    return found


@lru_cache(maxsize=32)
def _read(path: Path, changed: int) -> LoadedImage | None:
    """Read a file's header; it is read again once the file has changed."""
    zarr = OmeZarrReader()
    try:
        if path.is_dir():
            return zarr.read(path) if zarr.supports(path, b"") else None
        if path.suffix.lower() in TiffReader.suffixes:
            return TiffReader().read(path, lazy=True)
        if path.suffix.lower() in PlainReader.suffixes:
            return _without_pixels(PlainReader().read(path))
    except UserError:  # said by whoever reads the pixels
        pass
    return None


def _without_pixels(image: LoadedImage) -> LoadedImage:
    """Return the same image with an array of its shape that needs no memory."""
    array = np.broadcast_to(np.zeros((), image.array.dtype), image.array.shape)
    return image.replace(array=array)

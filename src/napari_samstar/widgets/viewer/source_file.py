"""What the file of a layer says of it: axes, channels, pixel size. No pixel is read."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.readers.ome_zarr import OmeZarrReader
from napari_samstar.core.image.readers.tiff import TiffReader

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_samstar.core.image.loaded import LoadedImage

_AXES = {
    "t": "T", "time": "T", "frame": "T", "frames": "T",
    "z": "Z", "depth": "Z", "slice": "Z", "plane": "Z",
    "c": "C", "ch": "C", "channel": "C", "channels": "C",
    "y": "Y", "row": "Y", "rows": "Y", "x": "X", "col": "X", "column": "X", "columns": "X",
}  # fmt: skip


def read_about(path: str | Path) -> LoadedImage | None:
    """Return what a TIFF or zarr file says of its image; None for other or unreadable files."""
    path = Path(path)
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return None
    return _read(path, changed)


def about_layer(layer: Image | Labels) -> LoadedImage | None:
    """Return what the layer's file says of it, where the file's image has the layer's shape."""
    path = layer.source.path
    found = None if not path else read_about(path)
    if found is None:
        return None
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    return found if tuple(found.finest.shape) == tuple(data.shape) else None


def layer_axes(layer: Image | Labels) -> str:
    """Return one letter for each axis of a layer's data: from its labels, else from its file.

    Empty where they are not known; see `LoadedImage.axes`.
    """
    names = [_AXES.get(str(name).strip().lower(), "") for name in layer.axis_labels]
    letters = "".join(names)
    if all(names) and len(set(letters)) == len(letters) and letters.endswith("YX"):
        return letters + ("S" if getattr(layer, "rgb", False) else "")
    found = about_layer(layer)
    return "" if found is None else found.axes


@lru_cache(maxsize=32)
def _read(path: Path, changed: int) -> LoadedImage | None:
    """Read a file's header; it is read again once the file has changed."""
    zarr = OmeZarrReader()
    try:
        if path.is_dir():
            return zarr.read(path) if zarr.supports(path, b"") else None
        if path.suffix.lower() in TiffReader.suffixes:
            return TiffReader().read(path, lazy=True)
    except UserError:  # said by whoever reads the pixels
        pass
    return None

"""Show the whole image again when a dock has taken room from it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    import napari

LAID_OUT = 120  # ms after which the canvas has its new size
TOLERANCE = 1.25  # zoom in relation to that of the whole image


def refit_later(viewer: napari.Viewer) -> None:
    """Fit the image into the canvas once a new dock is laid out, if it fills the canvas now.

    A view that the user has zoomed or moved is left as it is.
    """
    if not _shows_whole_image(viewer):
        return
    reference = weakref.ref(viewer)

    def refit() -> None:
        still = reference()
        if still is not None and len(still.layers):
            still.reset_view()

    QTimer.singleShot(LAID_OUT, refit)


def canvas_size(viewer: napari.Viewer) -> tuple[int, int] | None:
    """Return rows and columns of the canvas in px of the screen; None where napari hides them."""
    size = getattr(getattr(viewer, "canvas", None), "size", None)
    if size is None:  # before napari 0.9
        size = getattr(viewer, "_canvas_size", None)
    return None if size is None else (int(size[0]), int(size[1]))


def _shows_whole_image(viewer: napari.Viewer) -> bool:
    if not len(viewer.layers) or viewer.dims.ndisplay != 2:
        return False
    camera = getattr(viewer, "scene", viewer).camera  # `scene` is new in napari 0.9
    low, high = viewer.layers.extent.world
    sides = (high - low)[list(viewer.dims.displayed)]
    canvas = canvas_size(viewer)
    if canvas is None or min(sides) <= 0:
        return False
    whole = min(c / s for c, s in zip(canvas, sides, strict=True))
    return bool(camera.zoom < TOLERANCE * whole)

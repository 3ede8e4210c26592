"""A small picture of the 8-bit image that SAM sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel, QSizePolicy

from napari_samstar.core.errors import UserError
from napari_samstar.widgets.jobs.workers import make_worker
from napari_samstar.widgets.shell.alive import call_if_alive

if TYPE_CHECKING:
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.micrograph import Micrograph

HEIGHT = 128  # px
OUTSIDE = 0.3
"""Brightness of what is left out."""

DELAY = 200  # ms without a change before the picture is read again


class Thumbnail(QLabel):
    """Shows a plane mapped to 8 bits, read off the GUI thread; only the newest request counts.

    Parameters
    ----------
    image : callable
        Returns the plane to show, None if there is none; may raise UserError.

    Attributes
    ----------
    notes : str
        Notes about the image that is shown.
    """

    shown = Signal(object)
    """The plane as SAM sees it, scaled down; sent when it is shown."""

    def __init__(self, image: Callable[[], LoadedImage | None]) -> None:
        super().__init__()
        self._image = image
        self._request = 0
        self.notes = ""
        self.setFixedHeight(HEIGHT)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY)
        self._timer.timeout.connect(self._read)

    def sizeHint(self) -> QSize:
        """Return the size of the picture; its width may differ."""
        return QSize(HEIGHT, HEIGHT)

    def refresh(self, *_: Any) -> None:
        """Read the plane again after a short delay."""
        self._request += 1
        self._timer.start()

    def _read(self) -> None:
        try:
            image = self._image()
        except UserError as error:
            self._show_text(str(error))
            return
        if image is None:
            self._show_text("")
            return
        worker = make_worker(_read_picture, image, round(HEIGHT * self.devicePixelRatioF()))
        worker.returned.connect(partial(call_if_alive(self.show_picture), self._request))
        worker.start()

    def show_picture(self, request: int, found: Micrograph | str) -> None:
        """Show the result of a request, a picture or an error, unless a newer request exists."""
        if request != self._request:
            return
        if isinstance(found, str):
            self._show_text(found)
            return
        rows, cols = found.shape
        image = QImage(found.pixels.tobytes(), cols, rows, 3 * cols, QImage.Format.Format_RGB888)
        pixmap = QPixmap.fromImage(image)
        pixmap.setDevicePixelRatio(rows / HEIGHT)  # sharp on high-resolution screens
        self.setPixmap(pixmap)
        self.notes = " ".join(found.notes)
        left_out = "" if found.region.is_whole else " The dark part is left out."
        self.setToolTip(f"Exactly what SAM sees.{left_out} {self.notes}".strip())
        self.shown.emit(found)

    def _show_text(self, text: str) -> None:
        self.clear()
        self.notes = ""
        self.setToolTip("")
        self.setText(text)


def _read_picture(image: LoadedImage, rows: int = HEIGHT) -> Micrograph | str:
    """Return the picture of a plane, `rows` px high, or the message of an error."""
    try:
        plane = image.prepare()
    except UserError as error:
        return str(error)
    step = max(1, min(plane.shape) // (2 * rows))
    rgb = np.ascontiguousarray(plane.thumbnail(step))
    if not plane.region.is_whole:
        outside = ~plane.region.mask(plane.shape)[::step, ::step]
        rgb = np.where(outside[..., None], (rgb * OUTSIDE).astype(np.uint8), rgb)
    scaled = QImage(
        rgb.tobytes(), rgb.shape[1], rgb.shape[0], 3 * rgb.shape[1], QImage.Format.Format_RGB888
    ).scaledToHeight(rows, Qt.TransformationMode.SmoothTransformation)
    return replace(plane, rgb=_pixels(scaled))


def _pixels(image: QImage) -> Any:
    """Return the uint8 array (H, W, 3) of an image; its rows in memory may be padded."""
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    bits = image.constBits()
    bits.setsize(image.sizeInBytes())
    rows = np.frombuffer(bits, dtype=np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()

"""A small picture of exactly what SAM sees."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel, QSizePolicy

from napari_samstar.core.errors import UserError
from napari_samstar.widgets.jobs.workers import make_worker
from napari_samstar.widgets.shell.alive import call_if_alive

if TYPE_CHECKING:
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.image.source import Source

HEIGHT = 128  # px
DELAY = 200  # ms, so that a slider that is dragged is followed when it rests


class Thumbnail(QLabel):
    """Shows a plane as it is mapped to 8 bits; read off the GUI thread, the newest wins.

    Parameters
    ----------
    source : callable
        Returns what to show, None where there is nothing; may raise UserError.
    """

    def __init__(self, source: Callable[[], Source | None]) -> None:
        super().__init__()
        self._source = source
        self._asked = 0
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
        """Return the height of the picture; any width will do."""
        return QSize(HEIGHT, HEIGHT)

    def refresh(self, *_: Any) -> None:
        """Read anew as soon as things have settled."""
        self._asked += 1
        self._timer.start()

    def _read(self) -> None:
        try:
            source = self._source()
        except UserError as error:
            self._say(str(error))
            return
        if source is None:
            self._say("")
            return
        worker = make_worker(_look, source, round(HEIGHT * self.devicePixelRatioF()))
        worker.returned.connect(partial(call_if_alive(self.take), self._asked))
        worker.start()

    def take(self, asked: int, found: Micrograph | str) -> None:
        """Show an answer, unless something else was asked for since."""
        if asked != self._asked:
            return
        if isinstance(found, str):
            self._say(found)
            return
        rows, cols = found.shape
        image = QImage(found.rgb.tobytes(), cols, rows, 3 * cols, QImage.Format.Format_RGB888)
        sharp = QPixmap.fromImage(image)
        sharp.setDevicePixelRatio(rows / HEIGHT)  # of a screen with more than one dot per px
        self.setPixmap(sharp)
        self.notes = " ".join(found.notes)
        self.setToolTip(f"Exactly what SAM sees. {self.notes}".strip())

    def _say(self, text: str) -> None:
        self.clear()
        self.notes = ""
        self.setToolTip("")
        self.setText(text)


def _look(source: Source, rows: int = HEIGHT) -> Micrograph | str:
    """Return the picture, so many rows high, or what is wrong."""
    from napari_samstar.core.image.micrograph import Micrograph

    try:
        image = source.read()
    except UserError as error:
        return str(error)
    step = max(1, min(image.shape) // (2 * rows))
    rgb = np.ascontiguousarray(image.rgb[::step, ::step])
    tall = QImage(
        rgb.tobytes(), rgb.shape[1], rgb.shape[0], 3 * rgb.shape[1], QImage.Format.Format_RGB888
    ).scaledToHeight(rows, Qt.TransformationMode.SmoothTransformation)
    return Micrograph(_pixels(tall), image.pixel_size, image.unit, image.name, image.notes)


def _pixels(image: QImage) -> Any:
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    bits = image.constBits()
    bits.setsize(image.sizeInBytes())
    rows = np.frombuffer(bits, dtype=np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()

"""The pixel size of an image that has none in napari: from its file, or typed."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_samstar.core.image.calibration import UNKNOWN, file_calibration
from napari_samstar.widgets.forms.buttons import button
from napari_samstar.widgets.forms.numbers import accept_decimal_comma
from napari_samstar.widgets.forms.shared import LINK, combo, note
from napari_samstar.widgets.viewer.autosave_tasks import BackgroundTasks, fits
from napari_samstar.widgets.viewer.history import Action
from napari_samstar.widgets.viewer.layers import pixel_size

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_samstar.core.image.calibration import Calibration
    from napari_samstar.widgets.panel import Panel

UNITS = ("nm", "µm")


class PixelRow(QWidget):
    """One line below the image; hidden where napari knows the pixel size.

    Sizes, histograms and exports are in nm or µm only where it does, and napari itself does not
    read it from TIFF files.
    """

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._panel = panel
        self._layer: weakref.ref[Image] | None = None
        self._found: Calibration = UNKNOWN
        self._background = BackgroundTasks()
        self.text = note()
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.text.linkActivated.connect(self._on_link)
        self.size_box = QDoubleSpinBox()
        accept_decimal_comma(self.size_box)
        self.size_box.setDecimals(5)
        self.size_box.setRange(0.00001, 1e6)
        self.size_box.setValue(1)
        self.size_box.setToolTip("How long one side of a pixel is.")
        self.unit_box = combo("The unit of the pixel size.", UNITS)
        self.set_button = button("Set", "Give the image this pixel size. Can be undone.", self.set)
        self.fields = QWidget()
        line = QHBoxLayout(self.fields)
        line.setContentsMargins(0, 0, 0, 0)
        for widget in (self.size_box, self.unit_box, self.set_button):
            line.addWidget(widget, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.text)
        column.addWidget(self.fields)
        self.fields.hide()

    def show_layer(self, layer: Image | None) -> None:
        """Look at another layer, and at the file that it came from."""
        known = self._layer() if self._layer is not None else None
        if layer is not known:
            for one, on in ((known, False), (layer, True)):
                if one is not None:
                    for event in (one.events.scale, one.events.units):
                        (event.connect if on else event.disconnect)(self._refresh)
            self._layer = weakref.ref(layer) if layer is not None else None
            self._found = UNKNOWN
            self.fields.hide()
            if layer is not None and layer.source.path:
                path = layer.source.path
                asked = partial(self._on_read, self._layer)
                self._background.submit(partial(file_calibration, path), asked)
        self._refresh()

    def set(self) -> None:
        """Give the image the pixel size in the fields."""
        size = self.size_box.value()
        self._give((size, size), self.unit_box.currentText())

    def _on_read(self, asked: Any, found: Calibration) -> None:
        if asked is self._layer:
            self._found = found
            self._refresh()

    def _on_link(self, what: str) -> None:
        size, unit = self._found
        if what == "use" and size is not None:
            self._give(size, unit)
        else:
            self.fields.setVisible(self.fields.isHidden())

    def _give(self, size: tuple[float, float], unit: str) -> None:
        """Change the image's scale, and that of the labels that lie on it, as one step."""
        layer = self._layer() if self._layer is not None else None
        viewer = self._panel.viewer()
        if layer is None or viewer is None:
            return
        controller, name = self._panel.controller, layer.name
        on_it = [x for x in viewer.layers if isinstance(x, Labels) and fits(x, layer)]
        both = [layer, *(x for x in on_it if np.array_equal(x.scale[-2:], layer.scale[-2:]))]
        places = [_place(x) for x in both]
        scaled = [_scaled(x, size, unit) for x in both]
        known = [weakref.ref(x) for x in both]
        if controller.source is layer:
            controller.session.forget()  # its candidates were measured in px
            controller.layers.remove_temporary_layers()
        text = f"Set the pixel size of {name}"
        controller.history.do(
            Action(text, partial(_put, known, scaled), partial(_put, known, places))
        )
        viewer.reset_view()

    def _refresh(self, *_: Any) -> None:
        layer = self._layer() if self._layer is not None else None
        needed = layer is not None and pixel_size(layer)[0] is None
        self.setVisible(needed)
        if not needed:
            return
        size, unit = self._found
        if size is not None:
            shown = f"{size[1]:.4g}" if np.isclose(*size) else f"{size[0]:.4g} × {size[1]:.4g}"
            said = f"The file says that a pixel is {shown} {unit}"
            self.text.setText(
                f"{said}: {_link('use', 'use it')}, or {_link('set', 'set another')}."
            )
        else:
            self.text.setText(f"Sizes are in pixels: {_link('set', 'set the pixel size')}.")


def _link(what: str, text: str) -> str:
    return f"<a href='{what}' style='color:{LINK}'>{text}</a>"


Place = tuple[Any, Any, Any]
"""Scale, translate and units of a layer."""


def _place(layer: Any) -> Place:
    return np.array(layer.scale), np.array(layer.translate), tuple(str(u) for u in layer.units)


def _scaled(layer: Any, size: tuple[float, float], unit: str) -> Place:
    scale, translate, units = _place(layer)
    factor = np.asarray(size) / scale[-2:]
    scale[-2:], translate[-2:] = size, translate[-2:] * factor
    return scale, translate, (*units[:-2], unit, unit)


def _put(known: list[weakref.ref[Any]], places: list[Place]) -> None:
    for reference, (scale, translate, units) in zip(known, places, strict=True):
        layer = reference()
        if layer is not None:
            layer.scale, layer.translate, layer.units = scale, translate, units

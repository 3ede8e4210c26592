"""The pixel size of an image that is not calibrated in napari: from its file, or typed."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_samstar.core.image.units import UNKNOWN
from napari_samstar.widgets.forms.buttons import button
from napari_samstar.widgets.forms.numbers import accept_decimal_comma
from napari_samstar.widgets.forms.shared import combo, link, note
from napari_samstar.widgets.viewer.autosave_tasks import BackgroundTasks
from napari_samstar.widgets.viewer.history import Action
from napari_samstar.widgets.viewer.layer_metadata import metadata_size
from napari_samstar.widgets.viewer.layers import labels_fit_image, pixel_size, pixel_steps
from napari_samstar.widgets.viewer.source_file import read_about

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_samstar.core.image.units import Calibration
    from napari_samstar.widgets.panel import Panel

UNITS = ("nm", "µm")


class PixelRow(QWidget):
    """One line below the image; hidden if the image is calibrated in napari.

    Sizes, histograms and exports are in nm or µm only for calibrated images, and napari does not
    read the pixel size of TIFF files.
    """

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._panel = panel
        self._layer: weakref.ref[Image] | None = None
        self._from_file: Calibration = UNKNOWN
        self._where = "file"
        self._background = BackgroundTasks()
        self.text = note()
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.text.linkActivated.connect(self._on_link)
        self.size_box = QDoubleSpinBox()
        accept_decimal_comma(self.size_box)
        self.size_box.setDecimals(5)
        self.size_box.setRange(0.00001, 1e6)
        self.size_box.setValue(1)
        self.size_box.setToolTip("Side of a pixel.")
        self.unit_box = combo("The unit of the pixel size.", UNITS)
        self.set_button = button("Set", "Use this pixel size. Can be undone.", self.set)
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
        """Show the pixel size of another layer, and read that of its file."""
        before = self._layer() if self._layer is not None else None
        if layer is not before:
            if before is not None:
                for event in (before.events.scale, before.events.affine, before.events.units):
                    event.disconnect(self._refresh)
            if layer is not None:
                for event in (layer.events.scale, layer.events.affine, layer.events.units):
                    event.connect(self._refresh)
            self._layer = weakref.ref(layer) if layer is not None else None
            self._from_file = UNKNOWN
            self.fields.hide()
            if layer is not None and (layer.source.path or layer.metadata):
                read = partial(_calibration, layer.source.path, dict(layer.metadata))
                self._background.submit(read, partial(self._on_read, self._layer))
        self._refresh()

    def set(self) -> None:
        """Set the image's pixel size to that in the fields."""
        size = self.size_box.value()
        self._set_pixel_size((size, size), self.unit_box.currentText())

    def _on_read(self, layer: Any, found: tuple[Calibration, str]) -> None:
        if layer is self._layer:
            self._from_file, self._where = found
            self._refresh()

    def _on_link(self, action: str) -> None:
        size, unit = self._from_file
        if action == "use" and size is not None:
            self._set_pixel_size(size, unit)
        else:
            self.fields.setVisible(self.fields.isHidden())

    def _set_pixel_size(self, size: tuple[float, float], unit: str) -> None:
        """Change the scale of the image and of labels on it, as one action."""
        layer = self._layer() if self._layer is not None else None
        viewer = self._panel.viewer()
        if layer is None or viewer is None:
            return
        name = layer.name
        layers = [layer]
        for x in viewer.layers:
            on_image = isinstance(x, Labels) and labels_fit_image(x, layer)
            if on_image and np.array_equal(x.scale[-2:], layer.scale[-2:]):
                layers.append(x)
        before = [_geometry(x) for x in layers]
        after = [_scaled(x, size, unit) for x in layers]
        references = [weakref.ref(x) for x in layers]
        text = f"Set the pixel size of {name}"
        self._panel.controller.history.do(
            Action(text, partial(_apply, references, after), partial(_apply, references, before))
        )
        viewer.reset_view()

    def _refresh(self, *_: Any) -> None:
        layer = self._layer() if self._layer is not None else None
        needed = layer is not None and pixel_size(layer)[0] is None
        self.setVisible(needed)
        if not needed:
            return
        size, unit = self._from_file
        if size is not None:
            shown = f"{size[1]:.4g}" if np.isclose(*size) else f"{size[0]:.4g} × {size[1]:.4g}"
            self.text.setText(
                f"Pixel size in the {self._where}: {shown} {unit}. "
                f"{link('use', 'Use it')}, or {link('set', 'set another')}."
            )
        else:
            self.text.setText(f"Sizes are in pixels: {link('set', 'set the pixel size')}.")


def _calibration(path: str | None, metadata: dict[Any, Any]) -> tuple[Calibration, str]:
    """Return the pixel size of a file, else of the layer's metadata, and which of the two it is."""
    found = read_about(path) if path else None
    if found is not None and found.pixel_size is not None:
        return (found.pixel_size, found.unit), "file"
    return metadata_size(metadata), "layer's metadata"


Geometry = tuple[Any, Any, Any, Any]
"""Scale, translate, affine matrix and units of a layer."""


def _geometry(layer: Any) -> Geometry:
    units = tuple(str(u) for u in layer.units)
    affine = np.array(layer.affine.affine_matrix)
    return np.array(layer.scale), np.array(layer.translate), affine, units


def _scaled(layer: Any, size: tuple[float, float], unit: str) -> Geometry:
    """Return the geometry of a layer with another pixel size.

    Its offset in px, its rotation and which axes are mirrored are kept.
    """
    scale, translate, affine, units = _geometry(layer)
    factor = np.asarray(size) / pixel_steps(layer)[-2:]
    scale[-2:], translate[-2:] = scale[-2:] * factor, translate[-2:] * factor
    affine[-3:-1, -1] *= factor
    return scale, translate, affine, (*units[:-2], unit, unit)


def _apply(references: list[weakref.ref[Any]], geometries: list[Geometry]) -> None:
    for reference, (scale, translate, affine, units) in zip(references, geometries, strict=True):
        layer = reference()
        if layer is not None:
            layer.scale, layer.translate = scale, translate
            layer.affine, layer.units = affine, units

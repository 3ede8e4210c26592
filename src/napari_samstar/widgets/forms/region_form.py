"""Where objects are looked for: inside a layer, outside another, without data bar and border."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.region import Polygon, Region, rectangle
from napari_samstar.widgets.forms.buttons import CollapsibleSection
from napari_samstar.widgets.forms.shared import combo, form, link, note
from napari_samstar.widgets.viewer.layer_writer import TEMPORARY
from napari_samstar.widgets.viewer.layers import labels_fit_image, visible_box
from napari_samstar.widgets.viewer.world import converted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.core.image.mapping import DataBarChoice
    from napari_samstar.widgets.panel import Panel

EVERYTHING, VISIBLE, NOTHING = "Everything", "What the viewer shows", "Nothing"
AS_IN_RECIPE = "As in the recipe"
TITLE = "Region"

_ELLIPSE_CORNERS = 64


class RegionForm(QWidget):
    """Chooses the part of an image that is segmented."""

    changed = Signal()

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._viewer = panel.viewer
        self._keep_bar = False
        self._bar = ""
        self._visible: Polygon | None = None
        self._recipe = Region()
        self.inside_box = combo(
            "Only objects inside these shapes or labels count. Draw a rectangle or polygon in a "
            "Shapes layer, or paint a Labels layer."
        )
        self.outside_box = combo("Objects inside these shapes or labels are left out.")
        self.border_box = QCheckBox("Leave out objects at the border")
        self.border_box.setToolTip("Of the image, or of the region.")
        self.bar_note = note()
        self.bar_note.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.bar_note.linkActivated.connect(self._on_bar_link)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        content = QWidget()
        rows = form()
        rows.setContentsMargins(0, 0, 0, 0)
        content.setLayout(rows)
        rows.addRow("Region", self.inside_box)
        rows.addRow("Leave out", self.outside_box)
        rows.addRow("", self.border_box)
        self.section = CollapsibleSection(TITLE, "Segment only a part of the image.", content)
        column.addWidget(self.section)
        column.addWidget(self.bar_note)
        self.bar_note.hide()
        for box in (self.inside_box, self.outside_box):
            box.currentIndexChanged.connect(self._on_changed)
        self.border_box.toggled.connect(self._on_changed)
        viewer = self._viewer()
        if viewer is not None:
            for event in ("inserted", "removed", "renamed"):
                panel.listen(getattr(viewer.layers.events, event), self.refresh_layers)
        self.refresh_layers()

    @property
    def data_bar(self) -> DataBarChoice:
        """Whether a data bar is left out or kept."""
        return "keep" if self._keep_bar else "auto"

    def region(self, image: Image, plane: tuple[int, ...]) -> Region:
        """Return the region of one plane of an image.

        Raises
        ------
        UserError
            Where the chosen layer is gone, or does not fit the image.
        """
        inside, outside = (box.currentText() for box in (self.inside_box, self.outside_box))
        found = Region(border_objects=not self.border_box.isChecked())
        if inside == VISIBLE:
            if self._visible is None:
                x0, y0, x1, y1 = visible_box(image)
                self._visible = rectangle(y0, x0, y1, x1)
            found = found.replace(inside=(self._visible,))
        elif inside == AS_IN_RECIPE:
            found = self._recipe.replace(border_objects=found.border_objects)
        elif inside != EVERYTHING:
            found = _within(found, self._layer(inside), image, plane)
        if outside != NOTHING:
            found = _without(found, self._layer(outside), image, plane)
        return found

    def show_bar(self, sentence: str) -> None:
        """Say that a data bar was found and left out; empty for none."""
        self._bar = sentence
        self._refresh_bar()

    def show_region(self, region: Region, data_bar: DataBarChoice) -> None:
        """Show the region of a recipe."""
        with QSignalBlocker(self.border_box), QSignalBlocker(self.inside_box):
            self.border_box.setChecked(not region.border_objects)
            self._recipe = region
            self.refresh_layers()
            self.inside_box.setCurrentText(EVERYTHING if region.is_whole else AS_IN_RECIPE)
        with QSignalBlocker(self.outside_box):
            self.outside_box.setCurrentText(NOTHING)
        self._refresh_title()
        self._keep_bar = data_bar == "keep"
        self._refresh_bar()

    def refresh_layers(self, *_: Any) -> None:
        """List the layers that can be regions; keep those that are chosen."""
        viewer = self._viewer()
        layers = () if viewer is None else viewer.layers
        names = [
            x.name for x in layers if isinstance(x, Shapes | Labels) and x.name not in TEMPORARY
        ]
        known = () if self._recipe.is_whole else (AS_IN_RECIPE,)
        for box, first in (
            (self.inside_box, (EVERYTHING, VISIBLE, *known)),
            (self.outside_box, (NOTHING,)),
        ):
            before = box.currentText()
            with QSignalBlocker(box):
                box.clear()
                box.addItems([*first, *names])
                box.setCurrentText(before)
            if before and box.currentText() != before:
                self._on_changed()

    def _layer(self, name: str) -> Shapes | Labels:
        viewer = self._viewer()
        layers = () if viewer is None else viewer.layers
        found = next((x for x in layers if x.name == name), None)
        if not isinstance(found, Shapes | Labels):
            raise UserError(f"The layer {name} is gone: choose another region.")
        return found

    def _on_changed(self, *_: Any) -> None:
        self._visible = None  # what is shown now counts
        self._refresh_title()
        self.changed.emit()

    def _refresh_title(self) -> None:
        """Say in the title of the closed section that there is a region."""
        inside, outside = (box.currentText() for box in (self.inside_box, self.outside_box))
        parts = [] if inside == EVERYTHING else [inside]
        parts += [] if outside == NOTHING else [f"without {outside}"]
        parts += ["no border"] if self.border_box.isChecked() else []
        self.section.setText(f"{TITLE}: {', '.join(parts)}" if parts else TITLE)

    def _on_bar_link(self, *_: Any) -> None:
        self._keep_bar = not self._keep_bar
        self._refresh_bar()
        self.changed.emit()

    def _refresh_bar(self) -> None:
        if self._keep_bar:
            text = f"A data bar is kept. {link('bar', 'Leave it out')}"
        else:
            text = f"{self._bar} {link('bar', 'Keep it')}" if self._bar else ""
        self.bar_note.setText(text)
        self.bar_note.setVisible(bool(text))


def _within(region: Region, layer: Shapes | Labels, image: Image, plane: tuple[int, ...]) -> Region:
    if isinstance(layer, Labels):
        mask = Region.of_mask(_label_mask(layer, image, plane))
        return mask.replace(border_objects=region.border_objects)
    polygons = _polygons(layer, image, plane)
    if not polygons:
        raise UserError(
            f"The layer {layer.name} has no shape on this plane: draw a rectangle or a polygon."
        )
    return region.replace(inside=polygons)


def _without(
    region: Region, layer: Shapes | Labels, image: Image, plane: tuple[int, ...]
) -> Region:
    if isinstance(layer, Shapes):
        return region.replace(outside=_polygons(layer, image, plane))
    mask = ~_label_mask(layer, image, plane)
    mask &= region.mask((mask.shape[0], mask.shape[1]))
    return Region.of_mask(mask).replace(border_objects=region.border_objects)


def _label_mask(layer: Labels, image: Image, plane: tuple[int, ...]) -> NDArray[np.bool_]:
    if not labels_fit_image(layer, image):
        raise UserError(
            f"The layer {layer.name} has another size than the image: choose another region."
        )
    leading = layer.data.shape[:-2]
    index = tuple(
        min(k, n - 1) for k, n in zip(plane[len(plane) - len(leading) :], leading, strict=True)
    )
    return np.asarray(layer.data[index if leading else ...]) > 0


def _polygons(layer: Shapes, image: Image, plane: tuple[int, ...]) -> tuple[Polygon, ...]:
    """Return the closed shapes on a plane, in px of the image; lines are left out."""
    found: list[Polygon] = []
    for corners, kind in zip(layer.data, layer.shape_type, strict=True):
        if kind not in ("rectangle", "polygon", "ellipse"):
            continue
        points = _ellipse(corners) if kind == "ellipse" else np.asarray(corners)
        pixels = np.array([_to_pixel(layer, image, point) for point in points])
        *leading, _, _ = pixels[0].round().astype(int).tolist()
        if layer.ndim < image.ndim or tuple(leading) == plane:
            found.append(tuple((float(row), float(col)) for row, col in pixels[:, -2:]))
    return tuple(found)


def _to_pixel(layer: Shapes, image: Image, point: Any) -> NDArray[np.float64]:
    world = converted(layer.data_to_world(point), layer.units, image.units[-layer.ndim :])
    padded = np.concatenate([np.zeros(max(image.ndim - len(world), 0)), world])
    return np.asarray(image.world_to_data(padded))


def _ellipse(corners: Any) -> NDArray[np.float64]:
    """Return points of the ellipse in a box of four corners, which may be turned."""
    a, b, c, d = np.asarray(corners, dtype=float)
    middle, across, down = (a + c) / 2, (b - a) / 2, (d - a) / 2
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)[:, None]
    return np.asarray(middle + np.cos(angle) * across + np.sin(angle) * down)

"""What the user knows about the objects: sizes, shapes, and layers with good or true objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QSignalBlocker
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit, QPushButton, QWidget

from napari_samstar.core.errors import UserError
from napari_samstar.core.rewards.expectations import EXPECTED, Expectations
from napari_samstar.core.rewards.marks import Marks
from napari_samstar.widgets.forms.examples import holds_examples
from napari_samstar.widgets.forms.numbers import accept_decimal_comma
from napari_samstar.widgets.forms.shared import combo, note
from napari_samstar.widgets.viewer.clicks import CanvasClicks
from napari_samstar.widgets.viewer.layer_writer import TEMPORARY

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samstar.widgets.panel import Panel

NONE = "none"
MARKS = {
    "examples": (
        "Good examples",
        "A Labels layer with good objects. Masks should be like these.",
    ),
    "annotations": (
        "True objects",
        "A Labels layer with the true objects of a part of the image.",
    ),
}


class ExpectationForm(QWidget):
    """A field for each expectation; an empty field means that it is not known.

    Attributes
    ----------
    fields : dict of str to QLineEdit
    unit_box : QComboBox
        Unit of the lengths.
    measure_button : QPushButton
        While it is checked, two clicks on the canvas fill the length that was edited last.
    mark_boxes : dict of str to QComboBox
        Choices of Labels layers, by the keys of `MARKS`.
    examples_changed : callable, optional
        Called when a layer of good examples is chosen or removed.
    """

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._panel = panel
        self._first_point: Any = None
        self._example_layers: list[str] = []
        self._measured_field = "diameter"
        self.fields: dict[str, QLineEdit] = {}
        self.unit_box = combo("The unit of these lengths.", ["px"])
        self.measure_button = QPushButton("Measure on the image")
        self.measure_button.setCheckable(True)
        self.measure_button.setToolTip(
            "Click on both sides of an object: the distance goes into the length that you edited "
            "last."
        )
        viewer = panel.viewer()
        assert viewer is not None
        self._clicks = CanvasClicks(viewer, self._on_canvas_clicked)
        self.measure_button.toggled.connect(self._on_measure_toggled)
        self.hint = note()
        self.mark_boxes = {name: combo(tip, [NONE]) for name, (_, tip) in MARKS.items()}
        self.examples_changed: Callable[[], None] | None = None
        self.mark_boxes["examples"].currentIndexChanged.connect(self._notify)
        self._lay_out()
        for event in ("inserted", "removed", "renamed"):
            panel.listen(getattr(viewer.layers.events, event), self._refresh_layers)
        panel.listen(panel.controller.session.events.result, self._on_session_result)
        panel.seen_changed.connect(self._on_seen_changed)
        clicks = self._clicks
        self.destroyed.connect(lambda: clicks.set_enabled(False))
        self._refresh_layers()
        self._on_session_result()

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(2)
        for row, (name, about) in enumerate(EXPECTED.items()):
            label, field = QLabel(about.label), QLineEdit()
            field.setPlaceholderText("not known")
            field.setValidator(_range_validator(about.high))
            accept_decimal_comma(field)
            field.setMinimumWidth(60)
            if about.kind == "length":
                field.textEdited.connect(lambda _, name=name: self._set_measured_field(name))
            for widget in (label, field):
                widget.setToolTip(about.help)
            self.fields[name] = field
            grid.addWidget(label, row, 0)
            grid.addWidget(field, row, 1)
        row = len(EXPECTED)
        grid.addWidget(QLabel("Lengths in"), row, 0)
        grid.addWidget(self.unit_box, row, 1)
        grid.addWidget(self.measure_button, row + 1, 0, 1, 2)
        grid.addWidget(self.hint, row + 2, 0, 1, 2)
        for k, (name, (title, tip)) in enumerate(MARKS.items()):
            label = QLabel(title)
            label.setToolTip(tip)
            grid.addWidget(label, row + 3 + k, 0)
            grid.addWidget(self.mark_boxes[name], row + 3 + k, 1)

    # --- values -------------------------------------------------------------------------------

    def expectations(self) -> Expectations:
        """Return what was entered; UserError if a number is impossible."""
        values = {name: float(f.text()) for name, f in self.fields.items() if f.text().strip()}
        return Expectations(**values, unit=self.unit_box.currentText())

    def restore(self, expectations: Expectations) -> None:
        """Enter the expectations of an earlier search."""
        values = expectations.to_dict()
        if self.unit_box.findText(expectations.unit) < 0:
            self.unit_box.addItem(expectations.unit)
        self.unit_box.setCurrentText(expectations.unit)
        for name, field in self.fields.items():
            field.setText(f"{values[name]:.10g}" if name in values else "")

    def marks(self) -> Marks:
        """Return the objects of the chosen layers on the segmented plane."""
        chosen = {
            name: self._objects_of(box.currentText()) for name, box in self.mark_boxes.items()
        }
        return Marks(**chosen)

    def has_examples(self) -> bool:
        """Return whether a layer of good examples is chosen."""
        return bool(self.mark_boxes["examples"].currentText() != NONE)

    def _objects_of(self, name: str) -> Any:
        """Return the labels (H, W) of a layer on the segmented plane, None without a layer."""
        viewer, placement = self._panel.viewer(), self._panel.controller.layers.placement
        if viewer is None or placement is None or name == NONE or name not in viewer.layers:
            return None
        data = np.asarray(viewer.layers[name].data)
        n = len(placement.plane)
        if data.ndim == n + 2 and data.shape[:n] != (1,) * n:
            return np.array(data[placement.plane])
        return data.reshape(data.shape[-2:]) if data.size == np.prod(data.shape[-2:]) else data

    # --- measuring ----------------------------------------------------------------------------

    def _set_measured_field(self, name: str) -> None:
        self._measured_field = name

    def _on_measure_toggled(self, on: bool) -> None:
        self._first_point = None
        self._clicks.set_enabled(on)
        label = EXPECTED[self._measured_field].label
        self.hint.setText(
            f"<b>{label}</b>: click on one side of an object, then on the other." if on else ""
        )

    def _on_canvas_clicked(self, event: Any) -> None:
        controller, viewer = self._panel.controller, self._panel.viewer()
        segmented, placement = controller.session.result, controller.layers.placement
        if segmented is None or placement is None or viewer is None:
            return
        try:
            at = placement.world_to_plane(viewer, event.position)[-2:]
        except UserError as error:
            self.hint.setText(str(error))
            return
        if self._first_point is None:
            self._first_point = at
            self.hint.setText("Now click on the other side.")
            return
        size = np.array(segmented.image.pixel_size or (1.0, 1.0))
        length = float(np.linalg.norm((at - self._first_point) * size))
        self.unit_box.setCurrentText(segmented.image.unit)
        self.fields[self._measured_field].setText(f"{length:.4g}")
        self.measure_button.setChecked(False)
        self.hint.setText(
            f"{EXPECTED[self._measured_field].label}: {length:.4g} {segmented.image.unit} measured."
        )

    # --- events -------------------------------------------------------------------------------

    def _on_session_result(self, *_: Any) -> None:
        segmented = self._panel.controller.session.result
        self.measure_button.setEnabled(segmented is not None)
        if segmented is None:
            return
        unit = segmented.image.unit
        with QSignalBlocker(self.unit_box):
            empty = not any(field.text() for field in self.fields.values())
            before = self.unit_box.currentText()
            self.unit_box.clear()
            self.unit_box.addItems(list(dict.fromkeys(["px", unit, before])))
            self.unit_box.setCurrentText(unit if empty else before)

    def _refresh_layers(self, *_: Any) -> None:
        viewer = self._panel.viewer()
        layers = reversed(viewer.layers) if viewer is not None else []
        labels = [x for x in layers if isinstance(x, Labels) and x.name not in TEMPORARY]
        names = [x.name for x in labels]
        for box in self.mark_boxes.values():
            before = box.currentText()
            with QSignalBlocker(box):
                box.clear()
                box.addItems([NONE, *names])
                if before in names:
                    box.setCurrentText(before)
        self._choose_examples([x.name for x in labels if holds_examples(x)])

    def _choose_examples(self, names: list[str]) -> None:
        """Choose a new layer of good examples, unless the user has chosen another."""
        box, new = self.mark_boxes["examples"], [n for n in names if n not in self._example_layers]
        self._example_layers = names
        if new and box.currentText() == NONE:
            box.setCurrentText(new[0])
        else:
            self._notify()  # the box sends no signal if its chosen layer was removed

    def _notify(self, *_: Any) -> None:
        if self.examples_changed is not None:
            self.examples_changed()

    def _on_seen_changed(self, seen: bool) -> None:
        """Stop measuring when the panel is not seen any more."""
        if not seen:
            self.measure_button.setChecked(False)


def _range_validator(high: float) -> QDoubleValidator:
    validator = QDoubleValidator(0.0, high, 6)
    validator.setNotation(QDoubleValidator.Notation.StandardNotation)
    return validator

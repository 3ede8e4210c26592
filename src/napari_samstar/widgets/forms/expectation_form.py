"""What the user knows about the objects: sizes in physical units, shapes, good examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QSignalBlocker
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QWidget

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
        "A Labels layer with some good objects: masks should look like these.",
    ),
    "annotations": (
        "True objects",
        "A Labels layer with the true objects of a part of the image: masks should be these.",
    ),
}


class ExpectationForm(QWidget):
    """A field for each expectation; an empty one means that nothing is known.

    Attributes
    ----------
    fields : dict of str to QLineEdit
    unit_box : QComboBox
        Unit of the lengths.
    measure_button : QPushButton
        Two clicks on the canvas fill the length that was edited last.
    examples_changed : callable, optional
        Called when a layer of good examples is chosen or is gone.
    """

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._panel = panel
        self._start: Any = None
        self._made: list[str] = []
        self._target = "diameter"
        self.fields: dict[str, QLineEdit] = {}
        self.unit_box = combo("The unit of these lengths.", ["px"])
        self.measure_button = QPushButton("Measure on the image")
        self.measure_button.setCheckable(True)
        self.measure_button.setToolTip(
            "Click on one side of an object, then on the other: the distance goes into the length "
            "that you edited last."
        )
        viewer = panel.viewer()
        assert viewer is not None
        self._clicks = CanvasClicks(viewer, self._on_canvas_clicked)
        self.measure_button.toggled.connect(self._on_measure_toggled)
        self.hint = note()
        self.mark_boxes = {name: combo(tip, [NONE]) for name, (_, tip) in MARKS.items()}
        self.examples_changed: Callable[[], None] | None = None
        self.mark_boxes["examples"].currentIndexChanged.connect(self._tell)
        self._lay_out()
        for event in ("inserted", "removed", "renamed"):
            panel.listen(getattr(viewer.layers.events, event), self._refresh_layers)
        panel.listen(panel.controller.session.events.segmented, self._on_session_segmented)
        panel.seen_changed.connect(self._on_seen_changed)
        clicks = self._clicks
        self.destroyed.connect(lambda: clicks.set_enabled(False))
        self._refresh_layers()
        self._on_session_segmented()

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(2)
        for k, (name, about) in enumerate(EXPECTED.items()):
            label, field = QLabel(about.label), QLineEdit()
            field.setPlaceholderText("not known")
            field.setValidator(_up_to(about.high))
            accept_decimal_comma(field)
            field.setMinimumWidth(60)
            if about.kind == "length":
                field.textEdited.connect(lambda _, name=name: self._aim_at(name))
            for widget in (label, field):
                widget.setToolTip(about.help)
            self.fields[name] = field
            row, side = divmod(k, 2)
            grid.addWidget(label, row, 2 * side)
            grid.addWidget(field, row, 2 * side + 1)
        row = len(EXPECTED) // 2 + 1
        units = QHBoxLayout()
        units.addWidget(QLabel("Lengths in"))
        units.addWidget(self.unit_box)
        units.addWidget(self.measure_button, 1)
        grid.addLayout(units, row, 0, 1, 4)
        grid.addWidget(self.hint, row + 1, 0, 1, 4)
        for k, (name, (title, tip)) in enumerate(MARKS.items()):
            label = QLabel(title)
            label.setToolTip(tip)
            grid.addWidget(label, row + 2 + k, 0)
            grid.addWidget(self.mark_boxes[name], row + 2 + k, 1, 1, 3)

    # --- what is known ------------------------------------------------------------------------

    def expectations(self) -> Expectations:
        """Return what was entered; UserError where a number makes no sense."""
        values = {name: float(f.text()) for name, f in self.fields.items() if f.text().strip()}
        return Expectations(**values, unit=self.unit_box.currentText())

    def restore(self, expectations: Expectations) -> None:
        """Enter what an earlier search was told."""
        given = expectations.to_dict()
        if self.unit_box.findText(expectations.unit) < 0:
            self.unit_box.addItem(expectations.unit)
        self.unit_box.setCurrentText(expectations.unit)
        for name, field in self.fields.items():
            field.setText(f"{given[name]:.10g}" if name in given else "")

    def marks(self) -> Marks:
        """Return the chosen layers' objects on the segmented plane."""
        chosen = {name: self._marked(box.currentText()) for name, box in self.mark_boxes.items()}
        return Marks(**chosen)

    def has_examples(self) -> bool:
        """Return whether a layer of good examples is chosen."""
        return bool(self.mark_boxes["examples"].currentText() != NONE)

    def _marked(self, name: str) -> Any:
        viewer, placement = self._panel.viewer(), self._panel.controller.layers.placement
        if viewer is None or placement is None or name == NONE or name not in viewer.layers:
            return None
        data = np.asarray(viewer.layers[name].data)
        if data.ndim == len(placement.plane) + 2 and data.shape[: len(placement.plane)] != (
            1,
        ) * len(placement.plane):
            return np.array(data[placement.plane])
        return data.reshape(data.shape[-2:]) if data.size == np.prod(data.shape[-2:]) else data

    # --- measuring ----------------------------------------------------------------------------

    def _aim_at(self, name: str) -> None:
        self._target = name

    def _on_measure_toggled(self, on: bool) -> None:
        self._start = None
        self._clicks.set_enabled(on)
        where = EXPECTED[self._target].label
        self.hint.setText(
            f"For <b>{where}</b>: click on one side of an object, then on the other." if on else ""
        )

    def _on_canvas_clicked(self, event: Any) -> None:
        controller = self._panel.controller
        segmented, placement = controller.session.segmented, controller.layers.placement
        if segmented is None or placement is None:
            return
        at = placement.world_to_plane(event.position)[-2:]
        if self._start is None:
            self._start = at
            self.hint.setText("Now click on the other side.")
            return
        size = np.array(segmented.image.pixel_size or (1.0, 1.0))
        length = float(np.linalg.norm((at - self._start) * size))
        self.unit_box.setCurrentText(segmented.image.unit)
        self.fields[self._target].setText(f"{length:.4g}")
        self.measure_button.setChecked(False)
        self.hint.setText(
            f"{EXPECTED[self._target].label}: {length:.4g} {segmented.image.unit} measured."
        )

    # --- what happened ------------------------------------------------------------------------

    def _on_session_segmented(self, *_: Any) -> None:
        segmented = self._panel.controller.session.segmented
        self.measure_button.setEnabled(segmented is not None)
        if segmented is None:
            return
        unit = segmented.image.unit
        with QSignalBlocker(self.unit_box):
            wanted = ["px", *([unit] if unit != "px" else [])]
            empty = not any(field.text() for field in self.fields.values())
            before = self.unit_box.currentText()
            self.unit_box.clear()
            self.unit_box.addItems(list(dict.fromkeys([*wanted, before])))
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

    def _choose_examples(self, made: list[str]) -> None:
        """Choose examples that were pointed out since, unless the user has chosen others."""
        box, new = self.mark_boxes["examples"], [n for n in made if n not in self._made]
        self._made = made
        if new and box.currentText() == NONE:
            box.setCurrentText(new[0])
        else:
            self._tell()  # a layer that is gone takes its choice with it, without a signal

    def _tell(self, *_: Any) -> None:
        if self.examples_changed is not None:
            self.examples_changed()

    def _on_seen_changed(self, seen: bool) -> None:
        """Stop listening to clicks where the fields cannot be seen."""
        if not seen:
            self.measure_button.setChecked(False)


def _up_to(high: float) -> QDoubleValidator:
    validator = QDoubleValidator(0.0, high, 6)
    validator.setNotation(QDoubleValidator.Notation.StandardNotation)
    return validator

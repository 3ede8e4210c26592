"""More planes and images to tune on, and others to check the choice on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QDoubleSpinBox, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_samstar.core.errors import UserError
from napari_samstar.core.tuning.inputs import Other, planes_in
from napari_samstar.widgets.forms.numbers import accept_decimal_comma
from napari_samstar.widgets.forms.shared import combo, form, note, shorten
from napari_samstar.widgets.viewer.layers import image_layers, leading_shape, shown_plane, source_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image

    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.widgets.panel import Panel

LEAVE, TUNE, HOLD = "Leave out", "Tune on it", "Hold it out"
MOST_ROWS = 8
HINT = (
    "With a stack, or with more images open, you can look for settings that suit several at once, "
    "and check them on others that the search does not see."
)


class ExtraImagesForm(QWidget):
    """Fields for the planes of a stack, a menu for each other image, and a time limit.

    Attributes
    ----------
    tuned_field, held_field : QLineEdit
        Planes of the segmented stack.
    choices : dict of str to QComboBox
        What becomes of each other image layer, by its name.
    """

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._panel = panel
        self.changed: Any = None
        self.choices: dict[str, Any] = {}
        self.hint = note(HINT)
        self.tuned_field, self.held_field = QLineEdit(), QLineEdit()
        self.tuned_field.setPlaceholderText("only the one on show")
        self.held_field.setPlaceholderText("none")
        self.tuned_field.setToolTip(
            "Planes to search on besides the one on show, such as 0, 4, 8 or 0-3 or 0:40:10. "
            "Settings are then judged by their mean over all of them."
        )
        self.held_field.setToolTip(
            "Planes that the search does not see. Afterwards you learn whether the settings hold "
            "there too."
        )
        for field in (self.tuned_field, self.held_field):
            field.editingFinished.connect(self._tell)
        self.minutes_box = QDoubleSpinBox()
        accept_decimal_comma(self.minutes_box)
        self.minutes_box.setRange(0, 24 * 60)
        self.minutes_box.setDecimals(1)
        self.minutes_box.setSuffix(" min")
        self.minutes_box.setSpecialValueText("no limit")
        self.minutes_box.setToolTip("The search ends after so long. Continue goes on with it.")
        self._rows = form()
        self._rows.addRow("Also tune on planes", self.tuned_field)
        self._rows.addRow("Hold out planes", self.held_field)
        self._rows.addRow("Stop after", self.minutes_box)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.hint)
        column.addLayout(self._rows)
        viewer = panel.viewer()
        assert viewer is not None
        for event in ("inserted", "removed", "renamed"):
            panel.listen(getattr(viewer.layers.events, event), self.refresh)
        panel.listen(panel.controller.session.events.segmented, self.refresh)
        self.refresh()

    # --- what is chosen -----------------------------------------------------------------------

    def minutes(self) -> float | None:
        """Return the time limit, None for none."""
        return self.minutes_box.value() or None

    def others(self) -> tuple[Other, ...]:
        """Return the planes and images besides the one on show.

        Raises
        ------
        UserError
            Where the planes cannot be read, or are both tuned on and held out.
        """
        segmented, layer = self._panel.controller.session.segmented, self._panel.controller.source
        if segmented is None or layer is None:
            return ()
        return (*self._planes(layer, segmented.mapping), *self._images(segmented.mapping))

    def _planes(self, layer: Image, mapping: ImageMapping) -> list[Other]:
        sizes = self._sizes()
        if not sizes:
            return []
        tuned, held = (planes_in(f.text(), sizes) for f in (self.tuned_field, self.held_field))
        both = {*tuned, mapping.plane or ()} & set(held)
        if both:
            name = ",".join(map(str, sorted(both)[0]))
            raise UserError(f"Plane {name} is tuned on: it cannot be held out as well.")
        wanted = [(p, False) for p in tuned if p != mapping.plane] + [(p, True) for p in held]
        return [_other(layer, plane, mapping, held_out) for plane, held_out in wanted]

    def _images(self, mapping: ImageMapping) -> list[Other]:
        viewer = self._panel.viewer()
        found = []
        for layer in self._other_layers():
            choice = self.choices[layer.name].currentText() if layer.name in self.choices else LEAVE
            if viewer is not None and choice != LEAVE:
                found.append(_other(layer, shown_plane(layer, viewer), mapping, choice == HOLD))
        return found

    def _sizes(self) -> tuple[int, ...]:
        """Return the lengths of the stack's axes before (row, col), () where it is no stack."""
        segmented, layer = self._panel.controller.session.segmented, self._panel.controller.source
        if segmented is None or layer is None or segmented.mapping.projection != "none":
            return ()
        return leading_shape(layer)

    def _other_layers(self) -> list[Image]:
        viewer, source = self._panel.viewer(), self._panel.controller.source
        layers = image_layers(viewer) if viewer is not None and source is not None else []
        return [x for x in layers if x is not source][:MOST_ROWS]

    def not_open(self, others: Sequence[dict[str, Any]]) -> list[str]:
        """Return the names of the layers of an earlier search that are not there."""
        known = {self._own_name(), *self.choices}
        return [name for name in dict.fromkeys(o["layer"] for o in others) if name not in known]

    def _own_name(self) -> str:
        source = self._panel.controller.source
        return source.name if source is not None else ""

    def restore(self, others: Sequence[dict[str, Any]]) -> None:
        """Enter what an earlier search was told, see `Other.to_dict`."""
        own = self._own_name()
        for field, held in ((self.tuned_field, False), (self.held_field, True)):
            planes = [o["plane"] for o in others if o["layer"] == own and o["held_out"] == held]
            mark = ", " if len(self._sizes()) == 1 else "; "
            field.setText(mark.join(",".join(map(str, plane)) for plane in planes))
        elsewhere = {o["layer"]: HOLD if o["held_out"] else TUNE for o in others}
        for name, box in self.choices.items():
            with QSignalBlocker(box):
                box.setCurrentText(elsewhere.get(name, LEAVE))

    # --- what happened ------------------------------------------------------------------------

    def refresh(self, *_: Any) -> None:
        """Show what there is to choose from."""
        sizes, layers = self._sizes(), self._other_layers()
        for field in (self.tuned_field, self.held_field):
            self._rows.setRowVisible(field, bool(sizes))
        self.hint.setVisible(not sizes and not layers)
        names = [layer.name for layer in layers]
        if list(self.choices) == names:
            return
        before = {name: box.currentText() for name, box in self.choices.items()}
        for box in self.choices.values():
            self._rows.removeRow(box)
        self.choices = {}
        for name in names:
            box = combo(f"Whether the search sees {name}.", (LEAVE, TUNE, HOLD))
            with QSignalBlocker(box):
                box.setCurrentText(before.get(name, LEAVE))
            box.currentIndexChanged.connect(self._tell)
            label = QLabel(shorten(name, 22))
            label.setToolTip(name)
            self._rows.insertRow(self._rows.rowCount() - 1, label, box)
            self.choices[name] = box

    def _tell(self, *_: Any) -> None:
        if self.changed is not None:
            self.changed()


def _other(layer: Image, plane: tuple[int, ...], mapping: ImageMapping, held_out: bool) -> Other:
    """Describe a plane that is mapped like the one on show."""
    own = mapping.replace(
        channel=mapping.channel if layer.rgb else None,
        projection=mapping.projection if leading_shape(layer) else "none",
    )
    in_planes = own.projection == "none"
    source = source_of(layer, plane if in_planes else (), own)
    if plane and in_planes:
        where = ", ".join(map(str, plane))
        source = dataclasses.replace(source, name=f"{layer.name}, plane {where}")
    return Other(source, held_out, layer.name)

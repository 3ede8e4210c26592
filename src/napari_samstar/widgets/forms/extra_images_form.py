"""More planes and images to tune on, and held-out ones to check the result on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QDoubleSpinBox, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.plane_text import parse_planes
from napari_samstar.core.image.region import Region
from napari_samstar.core.tuning.inputs import ExtraImage
from napari_samstar.widgets.forms.numbers import accept_decimal_comma
from napari_samstar.widgets.forms.shared import combo, form, note, shorten
from napari_samstar.widgets.viewer.layers import (
    image_layers,
    leading_shape,
    loaded_image,
    shown_plane,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Image

    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.widgets.panel import Panel

UNUSED, TUNE, HOLD_OUT = "Not used", "Tune on it", "Hold out"
MAX_ROWS = 8  # other image layers on offer
HINT = (
    "With a stack, or with more open images, you can find settings that suit several images, and "
    "check them on others that the search does not use."
)


class ExtraImagesForm(QWidget):
    """Fields for the planes of a stack, a choice for each other image, and a time limit.

    Attributes
    ----------
    changed : callable, optional
        Called when the user changes the planes or images.
    tuned_field, held_field : QLineEdit
        Planes of the segmented stack.
    choices : dict of str to QComboBox
        Use of each other image layer, by its name.
    """

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._panel = panel
        self.changed: Callable[[], None] | None = None
        self.choices: dict[str, Any] = {}
        self.hint = note(HINT)
        self.tuned_field, self.held_field = QLineEdit(), QLineEdit()
        self.tuned_field.setPlaceholderText("only the current one")
        self.held_field.setPlaceholderText("none")
        self.tuned_field.setToolTip(
            "Planes to tune on besides the current one, such as 0, 4, 8 or 0-3 or 0:40:10. "
            "The rewards of settings are then means over all planes."
        )
        self.held_field.setToolTip(
            "Planes that the search does not use. Afterwards you see whether the settings are good "
            "there too."
        )
        for field in (self.tuned_field, self.held_field):
            field.editingFinished.connect(self._notify)
        self.minutes_box = QDoubleSpinBox()
        accept_decimal_comma(self.minutes_box)
        self.minutes_box.setRange(0, 24 * 60)
        self.minutes_box.setDecimals(1)
        self.minutes_box.setSuffix(" min")
        self.minutes_box.setSpecialValueText("no limit")
        self.minutes_box.setToolTip("Time limit of the search. You can continue it afterwards.")
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
        panel.listen(panel.controller.session.events.result, self.refresh)
        self.refresh()

    # --- choices ------------------------------------------------------------------------------

    def minutes(self) -> float | None:
        """Return the time limit, None if there is none."""
        return self.minutes_box.value() or None

    def extra_images(self) -> tuple[ExtraImage, ...]:
        """Return the planes and images besides the segmented plane.

        Raises
        ------
        UserError
            If the planes cannot be parsed, or one is both tuned on and held out.
        """
        result, layer = self._panel.controller.session.result, self._panel.controller.image_layer
        if result is None or layer is None:
            return ()
        return (*self._planes(layer, result.image.mapping), *self._images(result.image.mapping))

    def _planes(self, layer: Image, mapping: ImageMapping) -> list[ExtraImage]:
        sizes = self._sizes()
        if not sizes:
            return []
        tuned, held = (parse_planes(f.text(), sizes) for f in (self.tuned_field, self.held_field))
        both = {*tuned, mapping.plane or ()} & set(held)
        if both:
            name = ",".join(map(str, sorted(both)[0]))
            raise UserError(f"Plane {name} is tuned on: it cannot be held out as well.")
        wanted = [(p, False) for p in tuned if p != mapping.plane] + [(p, True) for p in held]
        return [_extra_image(layer, plane, mapping, held_out) for plane, held_out in wanted]

    def _images(self, mapping: ImageMapping) -> list[ExtraImage]:
        viewer = self._panel.viewer()
        found = []
        for layer in self._other_layers():
            box = self.choices.get(layer.name)
            if viewer is not None and box is not None and box.currentText() != UNUSED:
                plane, held_out = shown_plane(layer, viewer), box.currentText() == HOLD_OUT
                found.append(_extra_image(layer, plane, mapping, held_out))
        return found

    def _sizes(self) -> tuple[int, ...]:
        """Return the lengths of the stack's axes before (row, col), () if it is not a stack."""
        result, layer = self._panel.controller.session.result, self._panel.controller.image_layer
        if result is None or layer is None or result.image.mapping.projection != "none":
            return ()
        return leading_shape(layer)

    def _other_layers(self) -> list[Image]:
        viewer, own = self._panel.viewer(), self._panel.controller.image_layer
        layers = image_layers(viewer) if viewer is not None and own is not None else []
        return [x for x in layers if x is not own][:MAX_ROWS]

    def not_open(self, others: Sequence[dict[str, Any]]) -> list[str]:
        """Return the names of the layers of an earlier search that are not open."""
        known = {self._own_name(), *self.choices}
        return [name for name in dict.fromkeys(o["layer"] for o in others) if name not in known]

    def _own_name(self) -> str:
        layer = self._panel.controller.image_layer
        return layer.name if layer is not None else ""

    def restore(self, others: Sequence[dict[str, Any]]) -> None:
        """Enter the extra images of an earlier search, see `ExtraImage.to_dict`."""
        own = self._own_name()
        for field, held in ((self.tuned_field, False), (self.held_field, True)):
            planes = [o["plane"] for o in others if o["layer"] == own and o["held_out"] == held]
            mark = ", " if len(self._sizes()) == 1 else "; "
            field.setText(mark.join(",".join(map(str, plane)) for plane in planes))
        elsewhere = {o["layer"]: HOLD_OUT if o["held_out"] else TUNE for o in others}
        for name, box in self.choices.items():
            with QSignalBlocker(box):
                box.setCurrentText(elsewhere.get(name, UNUSED))

    # --- events -------------------------------------------------------------------------------

    def refresh(self, *_: Any) -> None:
        """Show the fields and the other image layers that apply to the current image."""
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
            box = combo(f"Use of {name} in the search.", (UNUSED, TUNE, HOLD_OUT))
            with QSignalBlocker(box):
                box.setCurrentText(before.get(name, UNUSED))
            box.currentIndexChanged.connect(self._notify)
            label = QLabel(shorten(name, 22))
            label.setToolTip(name)
            self._rows.insertRow(self._rows.rowCount() - 1, label, box)
            self.choices[name] = box

    def _notify(self, *_: Any) -> None:
        if self.changed is not None:
            self.changed()


def _extra_image(
    layer: Image, plane: tuple[int, ...], mapping: ImageMapping, held_out: bool
) -> ExtraImage:
    """Return a plane of another layer, with the mapping of the segmented one where it applies."""
    region = mapping.region
    shape = layer.data[0].shape if layer.multiscale else layer.data.shape
    plane_shape = shape[-3:-1] if layer.rgb else shape[-2:]
    if region.fault((int(plane_shape[0]), int(plane_shape[1]))):  # that of an image of another size
        region = Region(border_objects=region.border_objects)
    mapping = mapping.replace(
        region=region,
        channel=mapping.channel if layer.rgb else None,
        projection=mapping.projection if leading_shape(layer) else "none",
    )
    in_planes = mapping.projection == "none"
    image = loaded_image(layer, plane if in_planes else (), mapping)
    if plane and in_planes:
        where = ", ".join(map(str, plane))
        image = image.replace(name=f"{layer.name}, plane {where}")
    return ExtraImage(image, held_out, layer=layer.name)

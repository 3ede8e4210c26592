"""The image to segment: layer, plane, colour, intensities, and a picture of what SAM sees."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.axes import named_channel_axis
from napari_samstar.core.image.channels import channel_names, mapping_of_channels
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.widgets.forms.channel_row import ChannelRow
from napari_samstar.widgets.forms.pixel_row import PixelRow
from napari_samstar.widgets.forms.region_form import RegionForm
from napari_samstar.widgets.forms.shared import combo, error_html, form, note
from napari_samstar.widgets.forms.thumbnail import Thumbnail
from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.viewer.autosave_tasks import BackgroundTasks
from napari_samstar.widgets.viewer.layers import (
    Placement,
    image_layers,
    leading_shape,
    loaded_image,
    shown_plane,
)
from napari_samstar.widgets.viewer.source_file import about_layer, layer_axes, read_about

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.widgets.panel import Panel

STRETCHES = {
    "Percentiles 0.1 – 99.9": "percentile",
    "The layer's contrast limits": "limits",
    "None (as stored)": "none",
}
RECIPE_STRETCH = "As in the recipe"
PLANES = {
    "As shown in the viewer": "none",
    "Maximum projection": "max",
    "Mean projection": "mean",
}
COLOURS = {"All colours": None, "Red": 0, "Green": 1, "Blue": 2}
NO_IMAGE = "Drop an image into napari, or use File > Open Sample > SAM* samstar."


class ImageForm(QWidget):
    """Chooses a plane of an image layer and its mapping to 8 bits."""

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._viewer = panel.viewer
        self._recipe: ImageMapping | None = None
        self._background = BackgroundTasks()
        self._watched: weakref.ref[Image] | None = None
        self.layer_box = combo("The image layer to segment.")
        self.plane_box = combo(
            "The plane of a stack that SAM sees. Projections go along Z, else along the first axis "
            "that holds no channels.",
            PLANES,
        )
        self.channel_row = ChannelRow()
        self.channel_box = combo("SAM sees all colours, or one of them as grey.", COLOURS)
        self.stretch_box = combo(
            "The mapping of intensities to the 8 bits that SAM sees.", STRETCHES
        )
        self.invert_box = QCheckBox("Invert")
        self.invert_box.setToolTip("SAM sees the negative. It may then find more dark objects.")
        self.plane_note = note()
        self.pixel_row = PixelRow(panel)
        self.region_form = RegionForm(panel)
        self.thumbnail = Thumbnail(self._image_to_show)
        self.thumbnail.shown.connect(self._on_view_shown)
        self.region_form.changed.connect(self.thumbnail.refresh)
        self._lay_out()
        self.layer_box.currentIndexChanged.connect(self._on_layer_chosen)
        for box in (self.plane_box, self.channel_box, self.stretch_box):
            box.currentIndexChanged.connect(self.thumbnail.refresh)
        self.plane_box.currentIndexChanged.connect(self._show_plane)
        self.channel_row.changed.connect(self._show_plane)
        self.invert_box.toggled.connect(self.thumbnail.refresh)
        viewer = self._viewer()
        assert viewer is not None
        for event in ("inserted", "removed", "renamed"):
            panel.listen(getattr(viewer.layers.events, event), self.refresh_layers)
        for event in ("current_step", "order", "ndisplay"):
            panel.listen(getattr(viewer.dims.events, event), self._show_plane)
        self.refresh_layers()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self._form = form()
        intensities = QHBoxLayout()
        intensities.addWidget(self.stretch_box, 1)
        intensities.addWidget(self.invert_box)
        self._form.addRow("Layer", self.layer_box)
        self._form.addRow("Plane", self.plane_box)
        self._form.addRow("Colour", self.channel_box)
        self._form.addRow("Channels", self.channel_row)
        self._form.addRow("Intensities", intensities)
        column.addLayout(self._form)
        column.addWidget(self.plane_note)
        column.addWidget(self.thumbnail)
        column.addWidget(self.region_form)
        column.addWidget(self.pixel_row)

    # --- choices ------------------------------------------------------------------------------

    def layer(self) -> Image | None:
        """Return the chosen layer, None if there is none."""
        viewer, name = self._viewer(), self.layer_box.currentText()
        layers = image_layers(viewer) if viewer is not None else []
        return next((layer for layer in layers if layer.name == name), None)

    def chosen_image(self) -> tuple[LoadedImage, Placement] | None:
        """Return the image to segment and its placement, None without an image.

        UserError if the mapping is impossible, or the viewer shows no plane.
        """
        viewer, layer = self._viewer(), self.layer()
        if viewer is None or layer is None:
            return None
        plane = shown_plane(layer, viewer)
        mapping = self.mapping().replace(
            region=self.region_form.region(layer, plane), data_bar=self.region_form.data_bar
        )
        image = loaded_image(layer, plane, mapping)
        if not layer.rgb:
            image = image.replace(mapping=mapping_of_channels(image, self.channel_row.chosen()))
        return image, Placement.of(layer, plane)

    def planes(self) -> tuple[int, ...]:
        """Return the lengths of the axes before (row, col), () if there is only one plane."""
        layer = self.layer()
        return () if layer is None or not self._segments_planes() else leading_shape(layer)

    def mapping(self) -> ImageMapping:
        """Return the mapping to 8 bits, without the plane."""
        layer = self.layer()
        name = self.stretch_box.currentText()
        recipe = self._recipe if name == RECIPE_STRETCH else None
        stretch = recipe.stretch if recipe is not None else STRETCHES[name]
        limits = recipe.limits if recipe is not None else None
        if recipe is None and stretch == "limits" and layer is not None:
            low, high = layer.contrast_limits
            limits = (float(low), float(high))
        return ImageMapping(
            stretch=cast("Literal['percentile', 'limits', 'none']", stretch),
            low=recipe.low if recipe is not None else ImageMapping.low,
            high=recipe.high if recipe is not None else ImageMapping.high,
            limits=limits,
            invert=self.invert_box.isChecked(),
            channel=COLOURS[self.channel_box.currentText()]
            if layer is not None and layer.rgb
            else None,
            projection="none" if self._segments_planes() else self._projection(),
        )

    def show_mapping(self, mapping: ImageMapping) -> None:
        """Show the mapping of a recipe."""
        self._recipe = mapping
        if self.stretch_box.findText(RECIPE_STRETCH) < 0:
            self.stretch_box.addItem(RECIPE_STRETCH)
        self.stretch_box.setCurrentText(RECIPE_STRETCH)
        self.invert_box.setChecked(mapping.invert)
        self.plane_box.setCurrentIndex(list(PLANES.values()).index(mapping.projection))
        for index, colour in enumerate(COLOURS.values()):
            if colour == mapping.channel:
                self.channel_box.setCurrentIndex(index)
        self.channel_row.choose(mapping.channels)
        self.region_form.show_region(mapping.region, mapping.data_bar)
        self.thumbnail.refresh()

    def forget_recipe(self) -> None:
        """Go back to the default mapping: another image was chosen."""
        self._recipe = None
        index = self.stretch_box.findText(RECIPE_STRETCH)
        if index >= 0:
            self.stretch_box.removeItem(index)
        for box in (self.stretch_box, self.plane_box, self.channel_box):
            box.setCurrentIndex(0)
        self.invert_box.setChecked(False)

    def _projection(self) -> Any:
        return PLANES[self.plane_box.currentText()]

    def _segments_planes(self) -> bool:
        """Return whether planes are segmented one by one, not as a projection."""
        layer = self.layer()
        return layer is None or not leading_shape(layer) or self._projection() == "none"

    def _image_to_show(self) -> LoadedImage | None:
        chosen = self.chosen_image()
        return None if chosen is None else chosen[0]

    # --- events -------------------------------------------------------------------------------

    def refresh_layers(self, *_: Any) -> None:
        """List the image layers; keep the chosen one, or choose the first."""
        viewer = self._viewer()
        names = [layer.name for layer in image_layers(viewer)] if viewer is not None else []
        watched = self._watched() if self._watched is not None else None
        before = watched.name if watched is not None else self.layer_box.currentText()
        with QSignalBlocker(self.layer_box):
            self.layer_box.clear()
            self.layer_box.addItems(names)
            if before in names:
                self.layer_box.setCurrentText(before)
        self._on_layer_chosen()

    def _on_layer_chosen(self, *_: Any) -> None:
        layer = self.layer()
        watched = self._watched() if self._watched is not None else None
        if layer is not watched:
            if watched is not None:
                watched.events.contrast_limits.disconnect(self._on_limits)
                watched.events.data.disconnect(self.thumbnail.refresh)
            if layer is not None:
                layer.events.contrast_limits.connect(self._on_limits)
                layer.events.data.connect(self.thumbnail.refresh)
            self._watched = weakref.ref(layer) if layer is not None else None
        self.layer_box.setToolTip(layer.name if layer is not None else "No image is open.")
        self._form.setRowVisible(self.plane_box, layer is not None and bool(leading_shape(layer)))
        self._form.setRowVisible(self.channel_box, layer is not None and bool(layer.rgb))
        self._show_channels()
        if layer is not None and layer.source.path:  # its axes and channels are in the file
            read = partial(read_about, layer.source.path)
            self._background.submit(read, call_if_alive(self._show_channels))
        self.thumbnail.setVisible(layer is not None)
        self.region_form.setVisible(layer is not None)
        self.pixel_row.show_layer(layer)
        self._show_plane()

    def _show_channels(self, *_: Any) -> None:
        """Show a button for each channel, where an axis of the layer is known to hold channels."""
        layer = self.layer()
        names: tuple[str, ...] = ()
        if layer is not None and not layer.rgb:
            sizes, axes = leading_shape(layer), layer_axes(layer)
            axis = named_channel_axis(axes, len(sizes))
            if axis is not None and sizes[axis] > 1:
                about = about_layer(layer)
                known = () if about is None else channel_names(about)
                names = known or tuple(map(str, range(sizes[axis])))
        self.channel_row.show_channels(names)
        self._form.setRowVisible(self.channel_row, bool(names))
        self._show_plane()

    def _on_view_shown(self, image: Micrograph) -> None:
        """Say where a data bar was found in the image that is shown."""
        own = len(image.mapping.region.outside)
        found = image.region.outside[own:]
        notes = [one for one in image.notes if one.startswith("A data bar")]
        self.region_form.show_bar(notes[0] if found and notes else "")

    def _on_limits(self, *_: Any) -> None:
        if STRETCHES.get(self.stretch_box.currentText()) == "limits":
            self.thumbnail.refresh()

    def _show_plane(self, *_: Any) -> None:
        viewer, layer = self._viewer(), self.layer()
        if viewer is None or layer is None:
            self.plane_note.setText(NO_IMAGE)
            self.plane_note.show()
            return
        try:
            plane = shown_plane(layer, viewer) if self._segments_planes() else ()
            where = f"{self._named_plane(layer, plane)}, as shown in the viewer." if plane else ""
        except UserError as error:
            where = error_html(str(error))
        self.plane_note.setText(where)
        self.plane_note.setVisible(bool(where))
        self.thumbnail.refresh()

    def _named_plane(self, layer: Image, plane: tuple[int, ...]) -> str:
        """Return how a sentence names a plane: by the letters of its axes where they are known."""
        letters = layer_axes(layer)[: len(plane)]
        if not letters:
            return f"Plane {', '.join(map(str, plane))}"
        channels = self.channel_row.chosen()
        parts = [
            f"{letter} {k}"
            for letter, k in zip(letters, plane, strict=True)
            if not (letter == "C" and channels)
        ]
        return f"Plane {', '.join(parts)}" if parts else "The channels"

"""The Segment panel: layer, model, settings; one button."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QPushButton,
)
from superqt import QCollapsible

from napari_samstar.core.downloads import local_file
from napari_samstar.core.errors import UserError
from napari_samstar.core.images import Mapping
from napari_samstar.core.registry import REGISTRY
from napari_samstar.core.source import ModelChoice
from napari_samstar.widgets._desk import desk_of
from napari_samstar.widgets._layers import Placement, image_layers, shown_plane, source_of
from napari_samstar.widgets._settings import SettingsForm
from napari_samstar.widgets._shared import JobBar, Panel, heading, note

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

STRETCHES = {
    "Percentiles 0.1 – 99.9": "percentile",
    "The layer's contrast limits": "limits",
    "None (as stored)": "none",
}
DEVICES = {"Best available": "auto", "CPU": "cpu", "NVIDIA GPU (cuda)": "cuda", "Apple GPU": "mps"}


class SegmentPanel(Panel):
    """Segments the shown plane of an image layer with one configuration."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(desk_of(napari_viewer))
        self._viewer = napari_viewer
        self._build_image_rows()
        self._build_model_rows()
        self._build_settings()
        self.run_button = QPushButton("Segment")
        self.run_button.setToolTip("Run SAM on the shown plane and preview the objects.")
        self.run_button.clicked.connect(self.run)
        self.apply_button = QPushButton("Apply to a Labels layer")
        self.apply_button.setToolTip("Add the previewed objects as a layer of their own.")
        self.apply_button.clicked.connect(self.apply)
        self.row(self.run_button, self.apply_button)
        self.job_bar = JobBar(self)
        self.column.addWidget(self.job_bar)
        self.message = note()
        self.column.addWidget(self.message)
        self.column.addStretch(1)
        self._connect()
        self._refresh_layers()
        self._on_session_selection()

    # --- build --------------------------------------------------------------------------------

    def _build_image_rows(self) -> None:
        self.column.addWidget(heading("Image"))
        self.layer_box = QComboBox()
        self.layer_box.setToolTip("The image layer to segment.")
        self.plane_note = note()
        self.stretch_box = QComboBox()
        self.stretch_box.addItems(list(STRETCHES))
        self.stretch_box.setToolTip("How intensities become the 8-bit image that SAM sees.")
        self.invert_box = QCheckBox("Invert")
        self.invert_box.setToolTip("Show SAM a negative: for dark objects it may find more.")
        form = _form()
        form.addRow("Layer", self.layer_box)
        form.addRow("Intensities", self.stretch_box)
        form.addRow("", self.invert_box)
        self.column.addLayout(form)
        self.column.addWidget(self.plane_note)

    def _build_model_rows(self) -> None:
        self.column.addWidget(heading("Model"))
        self.model_box = QComboBox()
        for name, info in REGISTRY.items():
            self.model_box.addItem(_model_text(name), name)
            tip = f"{info.advice}\nLicence: {info.licence}"
            self.model_box.setItemData(self.model_box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.model_box.addItem("A file of my own…", "")
        self.model_box.activated.connect(self._on_model_activated)
        self.device_box = QComboBox()
        self.device_box.addItems(list(DEVICES))
        self.device_box.setToolTip("Where SAM runs.")
        form = _form()
        form.addRow("Model", self.model_box)
        form.addRow("Device", self.device_box)
        self.column.addLayout(form)
        self.model_note = note(REGISTRY["pocket"].advice)
        self.column.addWidget(self.model_note)

    def _build_settings(self) -> None:
        self.settings = SettingsForm(self.desk.session.config, self._on_setting_changed)
        drawer = QCollapsible("Settings")
        drawer.setToolTip("SAM's own settings. Tune finds good ones for you.")
        drawer.addWidget(self.settings.native)
        self.column.addWidget(drawer)

    def _connect(self) -> None:
        events = self.desk.session.events
        self.listen(events.selection, self._on_session_selection)
        self.listen(events.config, self._on_session_config)
        self.listen(self.desk.jobs.changed, self._on_jobs_changed)
        self.listen(self.desk.jobs.failed, self._on_jobs_failed)
        self.listen(self._viewer.layers.events.inserted, self._refresh_layers)
        self.listen(self._viewer.layers.events.removed, self._refresh_layers)
        self.listen(self._viewer.dims.events.current_step, self._show_plane)
        self.layer_box.currentIndexChanged.connect(self._show_plane)

    # --- what the user does ---------------------------------------------------------------------

    def run(self) -> None:
        """Segment the shown plane of the chosen layer."""
        layer = self._layer()
        if layer is None:
            return
        plane = shown_plane(layer, self._viewer)
        stretch = cast(
            "Literal['percentile', 'limits', 'none']", STRETCHES[self.stretch_box.currentText()]
        )
        try:
            source = source_of(
                layer, plane, Mapping(stretch=stretch, invert=self.invert_box.isChecked())
            )
            config = self.settings.config()
        except UserError as error:
            self._on_jobs_failed(str(error))
            return
        choice = ModelChoice(self.model_box.currentData(), DEVICES[self.device_box.currentText()])
        self.message.clear()
        self.desk.segment(source, choice, config, Placement.of(layer, plane))

    def apply(self) -> None:
        """Turn the preview into a Labels layer."""
        self.desk.apply()

    def _on_model_activated(self, index: int) -> None:
        if self.model_box.itemData(index) == "":
            self._ask_for_file()
        name = self.model_box.currentData()
        info = REGISTRY.get(name)
        self.model_note.setText(info.advice if info else f"Your own checkpoint: {name}")

    def _ask_for_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "A SAM checkpoint", "", "SAM checkpoints (*.pth *.pt *.safetensors)"
        )
        if not path:
            self.model_box.setCurrentIndex(0)
            return
        self.model_box.insertItem(self.model_box.count() - 1, path.rsplit("/", 1)[-1], path)
        self.model_box.setCurrentIndex(self.model_box.count() - 2)

    def _on_setting_changed(self) -> None:
        try:
            config = self.settings.config()
        except UserError:
            return
        if self.desk.session.segmented is None:
            self.desk.session.config = config
        elif not self.desk.session.show(config):
            self.message.setText("Press Segment: this setting needs SAM to run again.")

    # --- what happened ------------------------------------------------------------------------

    def _refresh_layers(self, *_: Any) -> None:
        names = [layer.name for layer in image_layers(self._viewer)]
        before = self.layer_box.currentText()
        with QSignalBlocker(self.layer_box):
            self.layer_box.clear()
            self.layer_box.addItems(names)
            if before in names:
                self.layer_box.setCurrentText(before)
        self._show_plane()
        self._refresh_buttons()

    def _show_plane(self, *_: Any) -> None:
        layer = self._layer()
        if layer is None:
            self.plane_note.setText(
                "Drop an image into napari, or use File > Open Sample > SAM* samstar."
            )
            return
        plane = shown_plane(layer, self._viewer)
        where = f"Plane {', '.join(map(str, plane))}, as shown in the viewer." if plane else ""
        self.plane_note.setText(where)
        self.plane_note.setVisible(bool(where))

    def _on_session_selection(self, *_: Any) -> None:
        segmented, selection = self.desk.session.segmented, self.desk.session.selection
        self._refresh_buttons()
        if selection is None:
            return
        if len(selection):
            notes = " ".join(segmented.image.notes) if segmented is not None else ""
            self.message.setText(f"<b>{len(selection)} objects</b> with these settings. {notes}")
        else:
            self.message.setText(
                "<b>No objects with these settings.</b> Lower <i>Predicted quality</i> or "
                "<i>Stability</i>, or let Tune find settings."
            )

    def _on_session_config(self, *_: Any) -> None:
        self.settings.show(self.desk.session.config)

    def _on_jobs_changed(self, status: Any) -> None:
        self.job_bar.show_status(status)
        segmented = self.desk.session.segmented
        if not status.title and segmented is not None:
            self.model_note.setText(segmented.model.device_reason)
        self._refresh_buttons()

    def _on_jobs_failed(self, text: str) -> None:
        self.message.setText(f"<span style='color:#e0605a'>{text}</span>")

    def _refresh_buttons(self) -> None:
        selection = self.desk.session.selection
        self.run_button.setEnabled(self._layer() is not None)
        self.apply_button.setEnabled(selection is not None and len(selection) > 0)

    def _layer(self) -> Image | None:
        name = self.layer_box.currentText()
        for layer in image_layers(self._viewer):
            if layer.name == name:
                return layer
        return None


def _model_text(name: str) -> str:
    info = REGISTRY[name]
    if info.url is None:
        return f"{name} (included)"
    ready = ", ready" if local_file(info).is_file() else ", to download"
    return f"{name} ({info.size_bytes / 2**20:.0f} MB{ready})"


def _form() -> QFormLayout:
    form = QFormLayout()
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    form.setVerticalSpacing(4)
    return form

"""The Results panel: measurements linked to the canvas, histogram, exports and recipe."""

from __future__ import annotations

import weakref
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.theme import get_theme
from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import QAbstractItemView, QMenu, QPushButton, QTableView

from napari_samstar.widgets.forms.dialogs import ask_save_path
from napari_samstar.widgets.forms.examples import ExampleRow, holds_examples
from napari_samstar.widgets.forms.job_bar import JobBar
from napari_samstar.widgets.forms.restore_row import RestoreRow
from napari_samstar.widgets.forms.shared import combo, link, note
from napari_samstar.widgets.jobs.workers import make_worker
from napari_samstar.widgets.panel import Panel
from napari_samstar.widgets.panels.results.exports import EXPORTS, ExportedLayer, export_layer
from napari_samstar.widgets.panels.results.histogram import Histogram
from napari_samstar.widgets.panels.results.table import TableModel
from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.viewer.clicks import CanvasClicks
from napari_samstar.widgets.viewer.layer_writer import OUTLINE_NAME, RECIPE_KEY, TEMPORARY
from napari_samstar.widgets.viewer.layers import Placement, leading_shape, pixel_size
from napari_samstar.widgets.viewer.world import from_viewer, to_viewer

if TYPE_CHECKING:
    import napari

MEASURE_DELAY = 700  # ms after the last change of a layer
LAYER_TIP = "The Labels layer whose objects are listed."
N_WIDTH_ROWS = 40  # number of rows whose texts determine the widths of the columns


class ResultsPanel(Panel):
    """Shows the objects of any Labels layer."""

    MAX_HEIGHT = 480

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._watched: weakref.ref[Labels] | None = None
        self._is_selecting_row = False
        self._stale = False
        self._clicks = CanvasClicks(napari_viewer, self._on_canvas_clicked)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(MEASURE_DELAY)
        self._timer.timeout.connect(self._measure)
        self._build()
        for event in ("inserted", "removed", "renamed"):
            self.listen(getattr(napari_viewer.layers.events, event), self._refresh_layers)
        self.listen(napari_viewer.layers.selection.events.active, self._on_active)
        self.listen(napari_viewer.events.theme, self._apply_theme)
        self.seen_changed.connect(self._on_seen_changed)
        clicks = self._clicks
        self.destroyed.connect(lambda: clicks.set_enabled(False))
        self._apply_theme()
        self._refresh_layers()

    def _build(self) -> None:
        self.layer_box = combo(LAYER_TIP)
        self.layer_box.currentIndexChanged.connect(self._on_layer_chosen)
        self.summary = note()
        self.summary.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.connect_links(self.summary)
        self.histogram = Histogram()
        self.model = TableModel()
        self.view = QTableView()
        self.view.setModel(self.model)
        self.view.horizontalHeader().setResizeContentsPrecision(N_WIDTH_ROWS)
        self.view.setSortingEnabled(True)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(22)
        self.view.setMinimumHeight(120)
        self.view.setToolTip("Click a row to see the object; click an object to see its row.")
        self.view.selectionModel().currentRowChanged.connect(self._on_row_chosen)
        self.export_button = QPushButton("Export")
        menu = QMenu(self.export_button)
        for title, suffix in EXPORTS.items():
            menu.addAction(title, partial(self._on_export, suffix, title.split(" (")[0]))
        self.export_button.setMenu(menu)
        self.recipe_button = QPushButton("Save recipe…")
        self.recipe_button.setToolTip(
            "A file that repeats this result: in napari (drop it on the window), in Python and on "
            "the command line."
        )
        self.recipe_button.clicked.connect(partial(self._on_export, "samstar.json", "Recipes"))
        self.message = note()
        self.column.addWidget(RestoreRow(self))
        self.column.addWidget(self.layer_box)
        self.column.addWidget(self.summary)
        self.column.addWidget(self.histogram)
        self.column.addWidget(self.view, 1)
        self.examples = ExampleRow(self)
        self.column.addWidget(self.examples)
        self.actions.addWidget(self.message)
        self.add_row(self.export_button, self.recipe_button, stretch=-1, below=True)
        self.actions.addWidget(JobBar(self))

    # --- user actions -------------------------------------------------------------------------

    def layer(self) -> Labels | None:
        """Return the chosen Labels layer, None where there is none."""
        name = self.layer_box.currentText()
        return next((x for x in self._labels_layers() if x.name == name), None)

    def choose(self, label: int, *, move_to: bool = False) -> None:
        """Select an object's row and outline it; `move_to` also moves the viewer to it."""
        layer = self.layer()
        if layer is None:
            return
        self._select_row(label)
        layer.selected_label = label
        self._outline(layer, label, move_to=move_to)

    def _select_row(self, label: int) -> None:
        row = self.model.row_of(label)
        if row is not None:
            self._is_selecting_row = True  # its signal must not move the viewer
            self.view.selectRow(row)
            self._is_selecting_row = False
            index = self.model.index(row, 0)
            # Scroll it to the centre: at the edge it could be half hidden
            if not self.view.viewport().rect().contains(self.view.visualRect(index)):
                self.view.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)

    def export(self, path: str | Path) -> None:
        """Write the file that the suffix of `path` stands for, off the GUI thread."""
        layer = self.layer()
        if layer is None:
            return
        rows, cols = layer.data.shape[-2:]
        planes = np.array(layer.data).reshape(-1, rows, cols)
        recipe = layer.metadata.get(RECIPE_KEY)
        data = ExportedLayer(layer.name, planes, self.model.table, *pixel_size(layer), recipe)
        worker = make_worker(export_layer, data, Path(path))
        worker.returned.connect(call_if_alive(self._on_exported))
        worker.start()

    def _on_export(self, suffix: str, kind: str, *_: Any) -> None:
        layer = self.layer()
        if layer is None:
            return
        name = f"{layer.name.replace(' ', '_')}.{suffix}"
        path = ask_save_path(self, "Save", name, suffix, kind)
        if path is not None:
            self.export(path)

    def _on_row_chosen(self, index: Any, *_: Any) -> None:
        if index.isValid() and not self._is_selecting_row:
            self.choose(self.model.label(index.row()), move_to=True)

    def _on_canvas_clicked(self, event: Any) -> None:
        layer = self.layer()
        if layer is None:
            return
        viewer = self.viewer()
        if viewer is None or len(event.dims_displayed) != 2:
            return
        value = layer.get_value(from_viewer(viewer, event.position, layer.units), world=True)
        if value is not None and not isinstance(value, tuple) and value > 0:
            self.choose(int(value))
        else:
            self.controller.layers.outline(None)
            self.examples.show_object(None)

    # --- updates ------------------------------------------------------------------------------

    def _labels_layers(self) -> list[Labels]:
        viewer = self.viewer()
        layers = reversed(viewer.layers) if viewer is not None else []
        results = (x for x in layers if x.name not in TEMPORARY and not holds_examples(x))
        return [x for x in results if isinstance(x, Labels)]

    def _refresh_layers(self, *_: Any) -> None:
        names = [x.name for x in self._labels_layers()]
        watched = self._watched() if self._watched is not None else None
        new = [n for n in names if self.layer_box.findText(n) < 0]
        before = watched.name if watched is not None else ""
        with QSignalBlocker(self.layer_box):
            self.layer_box.clear()
            self.layer_box.addItems(names)
            if before in names and not new:
                self.layer_box.setCurrentText(before)
        self._on_layer_chosen()

    def _on_active(self, *_: Any) -> None:
        viewer = self.viewer()
        active = viewer.layers.selection.active if viewer is not None else None
        if active is not None and self.layer_box.findText(active.name) >= 0:
            self.layer_box.setCurrentText(active.name)

    def _on_layer_chosen(self, *_: Any) -> None:
        layer, watched = self.layer(), self._watched() if self._watched is not None else None
        self.layer_box.setToolTip(layer.name if layer is not None else LAYER_TIP)
        if layer is not watched:
            for each, on in ((watched, False), (layer, True)):
                if each is not None:
                    self._set_watched(each, on)
            self._watched = weakref.ref(layer) if layer is not None else None
            self.examples.show_object(None)
        if layer is not None and "index" not in layer.features:
            self._timer.start(MEASURE_DELAY)  # unless it is being measured already
        self._show_features()

    def _set_watched(self, layer: Labels, on: bool) -> None:
        """Connect the events of a layer, or disconnect them."""
        events = layer.events
        for event, method in (
            (events.features, self._show_features),
            (events.data, self._on_changed),
            (events.paint, self._on_changed),
            (events.scale, self._on_changed),
            (events.units, self._on_changed),
        ):
            if on:
                event.connect(method)
            else:
                event.disconnect(method)

    def _on_changed(self, *_: Any) -> None:
        self._stale = True
        self._timer.start(MEASURE_DELAY)

    def _measure(self) -> None:
        layer = self.layer()
        if layer is not None and (self._stale or "index" not in layer.features):
            self._stale = False
            self.controller.measure(layer)

    def _show_features(self, *_: Any) -> None:
        layer = self.layer()
        table = layer.features if layer is not None and "index" in layer.features else None
        buttons = (self.examples, self.export_button, self.recipe_button)
        for widget in (self.layer_box, self.view, self.histogram, *buttons):
            widget.setVisible(layer is not None)
        if layer is None:
            self.summary.setText(
                "No Labels layer yet: press <i>Apply to a Labels layer</i> in the "
                f"{link('Segment')} or {link('Pareto front')} panel."
            )
            self.model.show(self.model.table.iloc[:0])
            return
        self.recipe_button.setEnabled(RECIPE_KEY in layer.metadata)
        if table is None:
            self.summary.setText("Measuring…")
            self.model.show(self.model.table.iloc[:0])
            return
        self.model.show(table)
        self.view.resizeColumnsToContents()
        if self.controller.layers.visible_layer(OUTLINE_NAME) is not None:
            self._select_row(int(layer.selected_label))
        self.summary.setText(self.histogram.draw(table))

    def _outline(self, layer: Labels, label: int, *, move_to: bool) -> None:
        viewer = self.viewer()
        measured = self.model.measurements(label)
        if viewer is None or measured is None:
            return
        shape = leading_shape(layer)
        planes = np.asarray(layer.data).reshape(-1, *layer.data.shape[-2:])
        k = int(measured.get("plane", 0))
        plane = tuple(int(i) for i in np.unravel_index(k, shape)) if shape else ()
        mask, placement = planes[k] == label, Placement.of(layer, plane)
        self.controller.layers.outline(mask, placement)
        self.examples.show_object(placement, mask)
        if move_to:
            own = layer.data_to_world((*plane, measured["row_px"], measured["col_px"]))
            world = to_viewer(viewer, own, layer.units)
            camera = getattr(viewer, "scene", viewer).camera  # `scene` is new in napari 0.9
            camera.center = (0.0, *world[-2:])
            for axis, value in enumerate(world[:-2]):
                viewer.dims.set_point(viewer.dims.ndim - layer.ndim + axis, value)

    def _on_exported(self, text: str) -> None:
        self.message.setText(text)

    def _apply_theme(self, *_: Any) -> None:
        viewer = self.viewer()
        if viewer is not None:
            self.histogram.apply_theme(viewer.theme)
            colour = get_theme(viewer.theme).current.as_hex()
            self.view.setStyleSheet(f"QTableView::item:selected {{ background: {colour}; }}")

    def _on_seen_changed(self, seen: bool) -> None:
        """Ignore clicks while the panel is hidden."""
        self._clicks.set_enabled(seen)
        self.controller.layers.set_outline_user(self, seen)
        if not seen:
            self.controller.layers.outline(None)

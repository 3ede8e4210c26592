"""The Segment panel: layer, model, settings; one button."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_samstar.core.errors import UserError
from napari_samstar.widgets.forms.apply_row import ApplyRow
from napari_samstar.widgets.forms.buttons import CollapsibleSection
from napari_samstar.widgets.forms.image_form import ImageForm
from napari_samstar.widgets.forms.job_bar import JobBar
from napari_samstar.widgets.forms.model_form import ModelForm
from napari_samstar.widgets.forms.restore_row import RestoreRow
from napari_samstar.widgets.forms.settings_form import SettingsForm
from napari_samstar.widgets.forms.shared import combo, counted, error_html, heading, link, note
from napari_samstar.widgets.panel import Panel

if TYPE_CHECKING:
    import napari


LINKS = {"Link in depth": "depth", "Link in time": "time", "Do not link": "none"}


class SegmentPanel(Panel):
    """Segments the shown plane of an image layer with one configuration."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.image_form, self.model_form = ImageForm(self), ModelForm()
        for title, part in (("Image", self.image_form), ("Model", self.model_form)):
            self.column.addWidget(heading(title))
            self.column.addWidget(part)
        self.column.insertWidget(2, RestoreRow(self))
        self._build_settings()
        self._build_buttons(napari_viewer)
        self.job_bar = JobBar(self)
        self.column.addWidget(self.job_bar)
        self.message = note()
        self.connect_links(self.message)
        self.column.addWidget(self.message)
        self.column.addStretch(1)
        self._connect()
        self._refresh_buttons()
        self._on_session_selection()
        self._on_session_loaded()
        self._on_session_result()

    # --- build --------------------------------------------------------------------------------

    def _build_settings(self) -> None:
        self.settings = SettingsForm(self.controller.session.config, self._on_setting_changed)
        self._offer_centres()
        tip = "SAM's own settings. Tune finds good ones for you."
        self.column.addWidget(CollapsibleSection("Settings", tip, self.settings.native))

    def _build_buttons(self, viewer: napari.Viewer) -> None:
        self.run_button = QPushButton("Segment")
        self.run_button.setToolTip("Run SAM on the shown plane and preview the objects.")
        self.run_button.clicked.connect(self.run)
        self.stack_button = QPushButton("Apply to all planes")
        self.stack_button.setToolTip(
            "Segment every slice or frame with the settings on show, into one Labels layer. "
            "Stop keeps the planes that are done."
        )
        self.stack_button.clicked.connect(self.run_stack)
        self.link_box = combo(
            "An object gets one number, and one colour, in all planes: slices of a volume, or "
            "frames of a movie. In time a division begins two new objects.",
            LINKS,
        )
        self.apply_row = ApplyRow(self, viewer)
        self.apply_button = self.apply_row.apply
        self.column.addWidget(self.run_button)
        self.column.addWidget(self.apply_row)
        self.stack_row = QWidget()
        line = QHBoxLayout(self.stack_row)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.stack_button, 1)
        line.addWidget(self.link_box, 1)
        self.column.addWidget(self.stack_row)

    def _connect(self) -> None:
        self.seen_changed.connect(self._on_seen_changed)
        events = self.controller.session.events
        self.listen(events.selection, self._on_session_selection)
        self.listen(events.edits, self._on_session_selection)
        self.listen(events.result, self._on_session_result)
        self.listen(events.config, self._on_session_config)
        self.listen(events.loaded, self._on_session_loaded)
        self.listen(self.controller.jobs.changed, self._on_jobs_changed)
        self.listen(self.controller.jobs.failed, self._on_jobs_failed)
        self.model_form.model_box.currentIndexChanged.connect(self._offer_centres)
        self.model_form.model_box.activated.connect(self._on_model_chosen)
        self.image_form.layer_box.currentIndexChanged.connect(self._refresh_buttons)
        self.image_form.plane_box.currentIndexChanged.connect(self._refresh_buttons)
        layers = self.image_form.layer_box.model()
        layers.rowsInserted.connect(self._refresh_buttons)
        layers.rowsRemoved.connect(self._refresh_buttons)

    # --- what the user does ---------------------------------------------------------------------

    def run(self) -> None:
        """Segment the shown plane of the chosen layer."""
        try:
            chosen = self.image_form.chosen_image()
            config = self.settings.config_to_run()
        except UserError as error:
            self._on_jobs_failed(str(error))
            return
        if chosen is None:
            return
        self.message.clear()
        image, placement = chosen
        layer = self.image_form.layer()
        self.controller.segment(image, self.model_form.choice(), config, placement, layer)

    def run_stack(self) -> None:
        """Apply the settings on show to every plane of the chosen layer, of one channel."""
        from napari_samstar.api.batch_stack import planes_to_do
        from napari_samstar.api.pipeline import check_labels_fit

        layer, leading = self.image_form.layer(), self.image_form.planes()
        result = self.controller.session.result
        if layer is None or not leading or result is None:
            return
        try:
            chosen = self.image_form.chosen_image()
            assert chosen is not None
            check_labels_fit(int(np.prod(leading)), result.image.shape)
        except UserError as error:
            self._on_jobs_failed(str(error))
            return
        image, placement = chosen
        data = np.zeros((*leading, *result.image.shape), dtype=np.int32)
        whole = Labels(data, name=f"{layer.name} objects", **placement.stack_transform)
        link = LINKS[self.link_box.currentText()]
        self.controller.segment_stack(image, list(planes_to_do(image, None)), whole, link)

    def _offer_centres(self, *_: Any) -> None:
        fresh = self.controller.session.result is None
        self.settings.offer_centres(self.model_form.sees_centres(), choose=fresh)

    def _on_model_chosen(self, *_: Any) -> None:
        self.settings.suit_model(self.model_form.choice().name)
        if self.controller.session.result is None:
            self._on_setting_changed()

    def _on_setting_changed(self) -> None:
        try:
            config = self.settings.config()
        except UserError:
            return
        if self.controller.session.result is None:
            self.controller.session.config = config
        elif not self.controller.session.show(config):
            self.message.setText("Press Segment: this setting needs SAM to run again.")

    # --- what happened ------------------------------------------------------------------------

    def _on_session_selection(self, *_: Any) -> None:
        result, selection = self.controller.session.result, self.controller.session.selection
        self._refresh_buttons()
        if selection is None or result is None:
            self.message.clear()
            return
        n, edits = self.controller.session.n_objects, self.controller.session.edits
        if not n:
            self.message.setText(
                "<b>No objects with these settings.</b> Lower <i>Predicted quality</i> or "
                f"<i>Stability</i>, or let {link('Tune')} find settings."
            )
            return
        by_hand = [
            counted(len(masks), "object") + f" {how} by hand"
            for masks, how in ((edits.pinned, "kept"), (edits.dropped, "removed"))
            if masks
        ]
        also = f" ({', '.join(by_hand)})" if by_hand else ""
        self.message.setText(
            f"<b>{counted(n, 'object')}</b> with these settings{also}. "
            f"{' '.join(result.image.notes)}{self._tiles_missing()}<br>"
            f"Next: {link('Tune')} · {link('Why is it missing?', 'Something missing?')} · "
            f"{link('Results')}"
        )

    def _tiles_missing(self) -> str:
        """Return how many tiles are not done; empty where all are."""
        result = self.controller.session.result
        if result is None or not result.is_partial:
            return ""
        tiles = result.bank.parts(result.config)
        done = sum(result.bank.has(part) for part in tiles)
        return f" <b>{done} of {len(tiles)} tiles</b> are done: <i>Continue</i> does the others."

    def _on_session_result(self, *_: Any) -> None:
        result = self.controller.session.result
        image = result.image if result is not None else None
        self.settings.show_pixel(image.pixel_size if image else None, image.unit if image else "px")

    def _on_session_config(self, *_: Any) -> None:
        self.settings.show(self.controller.session.config)

    def _on_session_loaded(self, *_: Any) -> None:
        recipe = self.controller.session.loaded
        if recipe is None:
            return
        self.image_form.show_mapping(recipe.mapping)
        self.model_form.show_model(recipe.model)
        self.settings.show_recipe(recipe.config, recipe.model)
        made_on = recipe.image.get("name", "an image")
        self.message.setText(f"Recipe of <b>{made_on}</b> loaded: press <i>Segment</i>.")

    def _on_jobs_changed(self, status: Any) -> None:
        self.job_bar.show_status(status)
        result = self.controller.session.result
        if not status.title and result is not None:
            self.model_form.show_loaded(result)
            self._offer_centres()
        self._refresh_buttons()

    def _on_jobs_failed(self, text: str) -> None:
        self.message.setText(error_html(text))

    def _refresh_buttons(self, *_: Any) -> None:
        self.run_button.setEnabled(self.image_form.layer() is not None)
        result = self.controller.session.result
        unfinished = result is not None and result.is_partial
        self.run_button.setText("Continue" if unfinished else "Segment")
        self.stack_row.setVisible(bool(self.image_form.planes()))
        self.stack_button.setEnabled(self.controller.session.result is not None)

    def _on_seen_changed(self, seen: bool) -> None:
        """Look for a graphics processor as soon as someone looks at the panel."""
        if seen:
            self.model_form.look_for_devices()

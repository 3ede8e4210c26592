"""The Segment panel: layer, model, settings; one button."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

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
    from napari.layers import Image

    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.image.loaded import LoadedImage


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
        self._drafts: WeakKeyDictionary[Image, AmgConfig] = WeakKeyDictionary()
        self._shown_for: weakref.ref[Image] | None = None
        self._recipe_waits = False
        self._agreed = 0  # number of trials that the user agreed to replace
        self.message = note()
        self.connect_links(self.message)
        self._build_settings()
        self.actions.addWidget(self.message)
        self._build_buttons(napari_viewer)
        self.column.addStretch(1)
        self.job_bar = JobBar(self)
        self.actions.addWidget(self.job_bar)
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
        self.actions.addWidget(self.run_button)
        self.stack_row = QWidget()
        line = QHBoxLayout(self.stack_row)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.stack_button, 1)
        line.addWidget(self.link_box, 1)
        self.actions.addWidget(self.stack_row)
        self.actions.addWidget(self.apply_row)

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
        self.image_form.layer_box.currentIndexChanged.connect(self._show_own_settings)
        self.image_form.plane_box.currentIndexChanged.connect(self._refresh_buttons)
        layers = self.image_form.layer_box.model()
        layers.rowsInserted.connect(self._refresh_buttons)
        layers.rowsRemoved.connect(self._refresh_buttons)
        for change in (layers.rowsInserted, layers.rowsRemoved):
            change.connect(self._show_own_settings)

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
        image, placement = chosen
        layer = self.image_form.layer()
        if not self._may_replace_front(image, layer):
            return
        self.message.clear()
        self._recipe_waits = False
        self.controller.segment(image, self.model_form.choice(), config, placement, layer)

    def _may_replace_front(self, image: LoadedImage, layer: Any) -> bool:
        """Return whether a new run keeps front and edits, or the user agreed to lose them."""
        session = self.controller.session
        result, trials = session.result, len(session.trials)
        by_hand = max(len(session.edits.pinned), len(session.edits.dropped))
        n = trials + by_hand
        same = (
            result is not None
            and layer is self.controller.image_layer
            and image.mapping == result.image.mapping
            and self.model_form.choice() == result.choice
        )
        if not n or same or self._agreed == n:
            return True
        self._agreed = n
        losses = [f"the front of {trials} tried settings"] if trials else []
        losses += [f"{counted(by_hand, 'object')} edited by hand"] if by_hand else []
        self.message.setText(
            f"<b>This replaces {' and '.join(losses)}.</b> <i>Apply to a Labels layer</i> keeps "
            "the objects. Press <i>Segment</i> again to go on."
        )
        return False

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
        planes = list(planes_to_do(image, None))
        shown = placement.plane
        if link == "none" and shown in planes:  # the plane on show comes first
            at = planes.index(shown)
            planes = planes[at:] + planes[:at]
        waiting = self.controller.unfinished_stack(link)
        if waiting is not None and set(waiting.planes) == set(planes):
            planes = list(waiting.planes)
        self.controller.segment_stack(image, planes, whole, link)

    def _offer_centres(self, *_: Any) -> None:
        fresh = self.controller.session.result is None
        self.settings.offer_centres(self.model_form.sees_centres(), choose=fresh)

    def _on_model_chosen(self, *_: Any) -> None:
        self.settings.suit_model(self.model_form.choice().name)
        if self.controller.session.result is None:
            self._on_setting_changed()

    # --- settings of each image -----------------------------------------------------------------

    def _segmented_layer_is_chosen(self) -> bool:
        """Return whether the settings on show are those of the objects on show."""
        segmented = self.controller.image_layer
        return segmented is None or self.image_form.layer() is segmented

    def _show_own_settings(self, *_: Any) -> None:
        """Show the settings of the chosen image: its own of before, or the defaults.

        A recipe that was opened waits for the image that it is for.
        """
        layer = self.image_form.layer()
        before = self._shown_for() if self._shown_for is not None else None
        if layer is None or layer is before:
            return
        self._shown_for = weakref.ref(layer)
        if before is None or self._recipe_waits:
            return
        if self._segmented_layer_is_chosen() and self.controller.session.result is not None:
            self.settings.show(self.controller.session.config)
        elif layer in self._drafts:
            self.settings.show(self._drafts[layer])
        else:
            self.settings.show_defaults()
        self.image_form.forget_recipe()

    def _on_setting_changed(self) -> None:
        try:
            config = self.settings.config()
        except UserError:
            return
        layer = self.image_form.layer()
        if layer is not None:
            self._drafts[layer] = config
        if not self._segmented_layer_is_chosen():
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
        config, segmented = self.controller.session.config, self.controller.image_layer
        if segmented is not None:
            self._drafts[segmented] = config
        if self._segmented_layer_is_chosen():
            self.settings.show(config)

    def _on_session_loaded(self, *_: Any) -> None:
        recipe = self.controller.session.loaded
        if recipe is None:
            return
        self._recipe_waits = True
        self.image_form.show_mapping(recipe.mapping)
        self.model_form.show_model(recipe.model)
        self.settings.show_recipe(recipe.config, recipe.model)
        made_on = recipe.image.get("name", "an image")
        self.message.setText(f"Recipe of <b>{made_on}</b> loaded: press <i>Segment</i>.")

    def _on_jobs_changed(self, status: Any) -> None:
        result = self.controller.session.result
        if not status.title and result is not None:
            self.model_form.show_loaded(result)
            self._offer_centres()
            self._show_stack()
        self._refresh_buttons()

    def _show_stack(self) -> None:
        """Say how much of a stack is done, where its run was stopped."""
        filler = self.controller.stack
        if filler is None or not filler.waiting or not filler.done:
            return
        done, goes_on = len(filler.done), self.controller.unfinished_stack() is filler
        then = "Press the button again to do the others." if goes_on else "A new run begins anew."
        self.message.setText(
            f"<b>Stopped: {done} of {len(filler.planes)} planes are done</b> and kept. {then}"
        )

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

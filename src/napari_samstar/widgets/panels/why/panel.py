"""The panel that explains why an object is missing, and can keep it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QPushButton

from napari_samstar.core.errors import UserError
from napari_samstar.core.interactive.placed_mask import PlacedMask, part_around
from napari_samstar.widgets.forms.buttons import button
from napari_samstar.widgets.forms.job_bar import JobBar
from napari_samstar.widgets.forms.shared import link, note
from napari_samstar.widgets.jobs.workers import make_worker
from napari_samstar.widgets.panel import Panel
from napari_samstar.widgets.panels.why.words import (
    MORE_PROMPTS,
    NO_CANDIDATES,
    NOT_DECODED,
    SOME_NOT_DECODED,
    sentences,
    title,
)
from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.viewer.clicks import CanvasClicks

if TYPE_CHECKING:
    import napari

    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.amg.rejection import Finding, Remedy
    from napari_samstar.core.amg.selection import Selection

MAX_ROWS = 12
"""Rows of the list that are visible without scrolling."""


class WhyPanel(Panel):
    """Lists the candidates at a clicked pixel, and the settings that rejected them."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._pixel: tuple[int, int] | None = None
        self._request = 0  # number of the latest request; answers to earlier ones are dropped
        self._remedy: Remedy | None = None
        self.findings: tuple[Finding, ...] = ()
        self._clicks = CanvasClicks(napari_viewer, self._on_canvas_clicked)
        self._build()
        events = self.controller.session.events
        self.listen(events.result, self._on_session_result)
        self.listen(events.selection, self._on_session_selection)
        self.listen(events.edits, self._on_session_selection)
        self.seen_changed.connect(self._on_seen_changed)
        clicks = self._clicks
        self.destroyed.connect(lambda: clicks.set_enabled(False))
        self._on_session_result()

    def _build(self) -> None:
        self.pick_button = QPushButton("Click on what is missing")
        self.pick_button.setCheckable(True)
        self.pick_button.setToolTip(
            "While this is pressed, a click on the image lists SAM's candidates there."
        )
        self.pick_button.toggled.connect(self._on_pick_toggled)
        self.message = note()
        self.connect_links(self.message)
        self.list = QListWidget()
        self.list.setMouseTracking(True)
        self.list.setToolTip("Point at a candidate to see its outline on the image.")
        self.list.itemEntered.connect(self._on_item_entered)
        self.list.currentRowChanged.connect(self._on_row_changed)
        self.details = note()
        self.keep_button = button(
            "Keep it anyway",
            "Adds this object to the preview, and to the applied layer if there is one. "
            "It is saved in the recipe. Can be undone (Ctrl+Alt+Z).",
            self.keep,
        )
        self.loosen_button = button("Loosen setting", "", self.loosen)
        self.column.addWidget(self.pick_button)
        self.column.addWidget(self.message)
        self.column.addWidget(self.list)
        self.column.addWidget(self.details)
        self.column.addStretch(1)
        self.correct_button = button(
            "Draw it by clicks", "Go to Correct: a click there adds the object.", self.correct
        )
        self.add_row(self.keep_button, self.loosen_button, below=True).setStretch(1, 1)
        self.actions.addWidget(self.correct_button)
        self.actions.addWidget(JobBar(self))

    # --- user actions -------------------------------------------------------------------------

    def explain_at(self, pixel: tuple[int, int]) -> None:
        """List the candidates at a pixel (row, col)."""
        session = self.controller.session
        if session.result is None or session.selection is None:
            return
        self._pixel = pixel
        self._request += 1
        worker = make_worker(_explain, session.result.bank, session.selection, pixel)
        worker.returned.connect(partial(call_if_alive(self._on_findings), self._request))
        worker.start()

    def keep(self) -> None:
        """Keep the chosen candidate, whatever the settings are."""
        finding = self._chosen()
        if finding is not None:
            self.keep_button.setEnabled(False)
            self.controller.pin(finding.shown_id)

    def loosen(self) -> None:
        """Apply the settings that keep the chosen candidate."""
        if self._remedy is not None:
            self.controller.session.show(self._remedy.config)

    def correct(self) -> None:
        """Go to the Correct page, where clicks add what no setting finds."""
        self.open_panel("Correct")

    def _on_pick_toggled(self, on: bool) -> None:
        self._clicks.set_enabled(on)
        self._show_help()

    def _on_canvas_clicked(self, event: Any) -> None:
        placement = self.controller.layers.placement
        result = self.controller.session.result
        if placement is None or result is None:
            return
        viewer = self.viewer()
        if viewer is None:
            return
        try:
            pixel = placement.world_to_pixel(viewer, event.position)
        except UserError as error:
            self.message.setText(str(error))
            return
        if pixel is None:
            plane = ", ".join(map(str, placement.plane))
            self.message.setText(f"The objects are of plane {plane}: go there to click.")
            return
        if np.all(np.less(pixel, result.image.shape)) and min(pixel) >= 0:
            self.explain_at(pixel)

    def _on_item_entered(self, item: QListWidgetItem) -> None:
        self._outline(self.findings[self.list.row(item)])

    def leaveEvent(self, event: Any) -> None:
        """Outline the chosen candidate again."""
        super().leaveEvent(event)
        self._outline(self._chosen())

    # --- updates ------------------------------------------------------------------------------

    def _on_session_result(self, *_: Any) -> None:
        self._pixel = None
        self._show_findings(())
        has_result = self.controller.session.result is not None
        self.pick_button.setEnabled(has_result)
        if not has_result:
            self.pick_button.setChecked(False)
        self._show_help()

    def _on_session_selection(self, *_: Any) -> None:
        if self._pixel is not None and self.seen:
            self.explain_at(self._pixel)

    def _show_help(self) -> None:
        if self.controller.session.result is None:
            self.message.setText(f"First press <i>Segment</i> in the {link('Segment')} panel.")
        elif self._pixel is None:
            self.message.setText(
                "Click on the image where an object is missing, to see SAM's candidates there "
                "and the settings that rejected them."
                if self.pick_button.isChecked()
                else "Press the button, then click on the image."
            )

    def _on_findings(self, request: int, found: Explanation) -> None:
        if request != self._request or self._pixel is None:
            return
        row, col = self._pixel
        findings = found.findings
        n_kept = sum(f.kept for f in findings)
        if findings:
            noun = "candidate" if len(findings) == 1 else "candidates"
            text = f"At row {row}, column {col}: <b>{len(findings)} {noun}</b>, {n_kept} kept."
            text += SOME_NOT_DECODED if found.n_waiting else ""
        else:
            text = NOT_DECODED if found.n_waiting else NO_CANDIDATES
        self.message.setText(self._advice(text))
        self._show_findings(findings)

    def _advice(self, text: str) -> str:
        """Fill in the settings that can be changed, and the pages that help."""
        config = self.controller.session.config
        more = MORE_PROMPTS[config.prompts if config.prompts in MORE_PROMPTS else "boxes"]
        return text.format(segment=link("Segment"), correct=link("Correct"), more=more)

    def _show_findings(self, findings: tuple[Finding, ...]) -> None:
        before = self._chosen()
        self.findings = findings
        pinned, result = self.controller.session.edits.pinned, self.controller.session.result
        image = result.image if result is not None else None
        self.list.clear()
        for finding in findings:
            item = QListWidgetItem(title(finding, image, finding.mask_id in pinned))
            item.setToolTip("\n".join(sentences(finding)))
            self.list.addItem(item)
        self.list.setVisible(bool(findings))
        rows = min(len(findings), MAX_ROWS)
        frame = 2 * self.list.frameWidth()
        self.list.setFixedHeight(frame + sum(self.list.sizeHintForRow(k) for k in range(rows)))
        # Choose the candidate chosen before, else the first rejected one
        same = [k for k, f in enumerate(findings) if before and f.mask_id == before.mask_id]
        rejected = [k for k, f in enumerate(findings) if not f.kept]
        self.list.setCurrentRow((same or rejected or [0])[0] if findings else -1)
        if not findings:
            self._on_row_changed(-1)

    def _on_row_changed(self, row: int) -> None:
        finding = self._chosen()
        self._remedy = None
        self.loosen_button.setEnabled(False)
        self.loosen_button.setToolTip("")
        self.keep_button.setEnabled(
            finding is not None
            and not finding.kept
            and finding.shown_id not in self.controller.session.edits.pinned
        )
        self._outline(finding)
        if finding is None:
            self.details.clear()
            return
        self.details.setText("<br>".join(sentences(finding)))
        self._request_remedy(finding)

    def _request_remedy(self, finding: Finding) -> None:
        session = self.controller.session
        if not finding.rejections or session.result is None or session.selection is None:
            return
        bank, selection = session.result.bank, session.selection
        worker = make_worker(_find_remedy, bank, selection, finding.mask_id, self._pixel)
        worker.returned.connect(partial(call_if_alive(self._on_remedy), finding))
        worker.start()

    def _on_remedy(self, finding: Finding, found: tuple[Remedy | None]) -> None:
        if finding is not self._chosen():
            return
        (self._remedy,) = found
        lines = list(sentences(finding))
        if self._remedy is None:
            lines.append("No filter setting would keep it; you can keep it anyway.")
        else:
            lines.append(f"<b>{self._remedy.sentence}</b>")
            self.loosen_button.setEnabled(True)
            self.loosen_button.setToolTip(self._remedy.sentence)
        self.details.setText("<br>".join(lines))

    def _outline(self, finding: Finding | None) -> None:
        result = self.controller.session.result
        if result is None or finding is None or not self.seen:
            self.controller.layers.outline(None)
            return
        store, (rows, cols) = result.bank.masks, result.image.shape
        whole = (0, 0, rows, cols)
        placed = PlacedMask(store.window(finding.shown_id), *store[finding.shown_id].box[:2])
        draws_parts = result.image.is_large or bool(result.config.tile_scale)
        part = placed.within(part_around(placed.extent, whole) if draws_parts else whole)
        self.controller.layers.outline(part.mask, origin=(part.row, part.col))

    def _chosen(self) -> Finding | None:
        row = self.list.currentRow()
        return self.findings[row] if 0 <= row < len(self.findings) else None

    def _on_seen_changed(self, seen: bool) -> None:
        """Ignore clicks while the panel is hidden."""
        self.controller.layers.set_outline_user(self, seen)
        if not seen:
            self.pick_button.setChecked(False)
        self._outline(self._chosen())

    def keyPressEvent(self, event: Any) -> None:
        """Release the button with Escape."""
        if event.key() == Qt.Key.Key_Escape:
            self.pick_button.setChecked(False)
        super().keyPressEvent(event)


@dataclass(frozen=True)
class Explanation:
    """What is known of a pixel.

    Attributes
    ----------
    findings : tuple of Finding
        The candidates there.
    n_waiting : int
        Tiles there that are not decoded yet.
    """

    findings: tuple[Finding, ...]
    n_waiting: int = 0


def _explain(bank: ProposalBank, selection: Selection, pixel: tuple[int, int]) -> Explanation:
    from napari_samstar.core.amg.explain import explain, waiting_tiles

    config = selection.config
    found = explain(bank, config, pixel, selection=selection)
    return Explanation(found, waiting_tiles(bank, config, pixel))


def _find_remedy(
    bank: ProposalBank, selection: Selection, mask_id: int, pixel: tuple[int, int] | None
) -> tuple[Remedy | None]:
    """Return the remedy in a tuple: napari's workers do not emit a result of None."""
    from napari_samstar.core.amg.explain import remedy

    return (remedy(bank, selection.config, mask_id, pixel, selection),)

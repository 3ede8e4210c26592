"""The panel that says why an object is missing, and can keep it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QPushButton

from napari_samstar.widgets.forms.shared import link, note
from napari_samstar.widgets.jobs.workers import make_worker
from napari_samstar.widgets.panel import Panel
from napari_samstar.widgets.panels.why.words import NOTHING, sentences, title
from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.viewer.clicks import CanvasClicks

if TYPE_CHECKING:
    import napari

    from napari_samstar.core.amg.rejection import Finding, Remedy

MOST_ROWS = 12
"""Of candidates on show; the list scrolls beyond."""


class WhyPanel(Panel):
    """Lists the candidates at a spot, and which setting rejected each."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._spot: tuple[int, int] | None = None
        self._asked = 0
        self._remedy: Remedy | None = None
        self.findings: tuple[Finding, ...] = ()
        self._clicks = CanvasClicks(napari_viewer, self._on_canvas_clicked)
        self._build()
        events = self.controller.session.events
        self.listen(events.segmented, self._on_session_segmented)
        self.listen(events.selection, self._on_session_selection)
        self.listen(events.pinned, self._on_session_selection)
        self.seen_changed.connect(self._on_seen_changed)
        clicks = self._clicks
        self.destroyed.connect(lambda: clicks.set_enabled(False))
        self._on_session_segmented()

    def _build(self) -> None:
        self.pick_button = QPushButton("Click on what is missing")
        self.pick_button.setCheckable(True)
        self.pick_button.setToolTip(
            "While this is pressed, a click on the image lists what SAM proposed there."
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
        self.keep_button = QPushButton("Keep it anyway")
        self.keep_button.setToolTip(
            "Adds this object to the preview, and to the applied layer if there is one. "
            "The recipe remembers it. Can be undone (Ctrl+Alt+Z)."
        )
        self.keep_button.clicked.connect(self.keep)
        self.loosen_button = QPushButton("Loosen setting")
        self.loosen_button.clicked.connect(self.loosen)
        self.column.addWidget(self.pick_button)
        self.column.addWidget(self.message)
        self.column.addWidget(self.list)
        self.column.addWidget(self.details)
        self.add_row(self.keep_button, self.loosen_button)
        self.column.addStretch(1)

    # --- what the user does ---------------------------------------------------------------------

    def look(self, spot: tuple[int, int]) -> None:
        """List the candidates at the pixel (row, col)."""
        session = self.controller.session
        if session.segmented is None or session.selection is None:
            return
        self._spot = spot
        self._asked += 1
        worker = make_worker(_explain, session.segmented.bank, session.selection.config, spot)
        worker.returned.connect(partial(call_if_alive(self._on_findings), self._asked))
        worker.start()

    def keep(self) -> None:
        """Keep the chosen candidate whatever the settings say."""
        finding = self._chosen()
        if finding is not None:
            self.keep_button.setEnabled(False)
            self.controller.pin(finding.shown_id)

    def loosen(self) -> None:
        """Take over the settings that keep the chosen candidate."""
        if self._remedy is not None:
            self.controller.session.show(self._remedy.config)

    def _on_pick_toggled(self, on: bool) -> None:
        self._clicks.set_enabled(on)
        self._say_what_to_do()

    def _on_canvas_clicked(self, event: Any) -> None:
        placement = self.controller.layers.placement
        segmented = self.controller.session.segmented
        if placement is None or segmented is None:
            return
        if len(event.dims_displayed) != 2:
            self.message.setText("Switch the viewer to 2D to click on a spot.")
            return
        spot = placement.world_to_pixel(event.position)
        if spot is None:
            plane = ", ".join(map(str, placement.plane))
            self.message.setText(f"The objects on show are of plane {plane}: go there to ask.")
            return
        if np.all(np.less(spot, segmented.image.shape)) and min(spot) >= 0:
            self.look(spot)

    def _on_item_entered(self, item: QListWidgetItem) -> None:
        self._outline(self.findings[self.list.row(item)])

    def leaveEvent(self, event: Any) -> None:
        """Go back to the outline of the chosen candidate."""
        super().leaveEvent(event)
        self._outline(self._chosen())

    # --- what happened ------------------------------------------------------------------------

    def _on_session_segmented(self, *_: Any) -> None:
        self._spot = None
        self._show(())
        self.pick_button.setEnabled(self.controller.session.segmented is not None)
        if self.controller.session.segmented is None:
            self.pick_button.setChecked(False)
        self._say_what_to_do()

    def _on_session_selection(self, *_: Any) -> None:
        if self._spot is not None and self.seen:
            self.look(self._spot)

    def _say_what_to_do(self) -> None:
        if self.controller.session.segmented is None:
            self.message.setText(f"First press <i>Segment</i> in the {link('Segment')} panel.")
        elif self._spot is None:
            self.message.setText(
                "Click on the image where an object is missing: you see what SAM proposed there, "
                "and which setting left it out."
                if self.pick_button.isChecked()
                else "Press the button, then click on the image."
            )

    def _on_findings(self, asked: int, findings: tuple[Finding, ...]) -> None:
        if asked != self._asked or self._spot is None:
            return
        row, col = self._spot
        kept = sum(f.kept for f in findings)
        if findings:
            noun = "candidate" if len(findings) == 1 else "candidates"
            self.message.setText(
                f"At row {row}, column {col}: <b>{len(findings)} {noun}</b>, {kept} kept."
            )
        else:
            self.message.setText(NOTHING.format(segment=link("Segment")))
        self._show(findings)

    def _show(self, findings: tuple[Finding, ...]) -> None:
        before = self._chosen()
        self.findings = findings
        pinned, segmented = self.controller.session.pinned, self.controller.session.segmented
        image = segmented.image if segmented is not None else None
        self.list.clear()
        for finding in findings:
            item = QListWidgetItem(title(finding, image, finding.mask_id in pinned))
            item.setToolTip("\n".join(sentences(finding)))
            self.list.addItem(item)
        again = [k for k, f in enumerate(findings) if before and f.mask_id == before.mask_id]
        rejected = [k for k, f in enumerate(findings) if not f.kept]
        self.list.setVisible(bool(findings))
        rows = min(len(findings), MOST_ROWS)
        frame = 2 * self.list.frameWidth()
        self.list.setFixedHeight(frame + sum(self.list.sizeHintForRow(k) for k in range(rows)))
        self.list.setCurrentRow((again or rejected or [0])[0] if findings else -1)
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
            and finding.shown_id not in self.controller.session.pinned
        )
        self._outline(finding)
        if finding is None:
            self.details.clear()
            return
        self.details.setText("<br>".join(sentences(finding)))
        self._ask_for_remedy(finding)

    def _ask_for_remedy(self, finding: Finding) -> None:
        session = self.controller.session
        if not finding.rejections or session.segmented is None or session.selection is None:
            return
        worker = make_worker(
            _remedy,
            session.segmented.bank,
            session.selection.config,
            finding.mask_id,
            self._spot,
        )
        worker.returned.connect(partial(call_if_alive(self._on_remedy), finding))
        worker.start()

    def _on_remedy(self, finding: Finding, found: tuple[Remedy | None]) -> None:
        if finding is not self._chosen():
            return
        (self._remedy,) = found
        words = list(sentences(finding))
        if self._remedy is None:
            words.append("No filter alone can bring it back; you can keep it anyway.")
        else:
            words.append(f"<b>{self._remedy.sentence}</b>")
            self.loosen_button.setEnabled(True)
            self.loosen_button.setToolTip(self._remedy.sentence)
        self.details.setText("<br>".join(words))

    def _outline(self, finding: Finding | None) -> None:
        segmented = self.controller.session.segmented
        if segmented is None or finding is None or not self.seen:
            self.controller.layers.outline(None)
        else:
            self.controller.layers.outline(segmented.bank.masks.dense(finding.shown_id))

    def _chosen(self) -> Finding | None:
        row = self.list.currentRow()
        return self.findings[row] if 0 <= row < len(self.findings) else None

    def _on_seen_changed(self, seen: bool) -> None:
        """Stop listening to clicks where nobody sees the answer."""
        self.controller.layers.set_outline_user(self, seen)
        if not seen:
            self.pick_button.setChecked(False)
        self._outline(self._chosen())

    def keyPressEvent(self, event: Any) -> None:
        """Leave the mode with Escape."""
        if event.key() == Qt.Key.Key_Escape:
            self.pick_button.setChecked(False)
        super().keyPressEvent(event)


def _explain(bank: Any, config: Any, spot: tuple[int, int]) -> tuple[Finding, ...]:
    from napari_samstar.core.amg.explain import explain

    return explain(bank, config, spot)


def _remedy(bank: Any, config: Any, mask_id: int, spot: Any) -> tuple[Remedy | None]:
    """Return the remedy in a tuple: napari's workers take None for no answer."""
    from napari_samstar.core.amg.explain import remedy

    return (remedy(bank, config, mask_id, spot),)

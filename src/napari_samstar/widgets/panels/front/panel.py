"""The Pareto front panel: a plot whose points are clicked to preview masks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu, QPushButton

from napari_samstar.core.rewards.goal import OBJECTIVES
from napari_samstar.core.rewards.registry import REWARDS
from napari_samstar.widgets.forms.apply_row import ApplyRow
from napari_samstar.widgets.forms.buttons import CollapsibleSection
from napari_samstar.widgets.forms.dialogs import ask_save_path
from napari_samstar.widgets.forms.job_bar import JobBar
from napari_samstar.widgets.forms.shared import combo, link, note
from napari_samstar.widgets.jobs.workers import make_worker
from napari_samstar.widgets.panel import Panel
from napari_samstar.widgets.panels.front.plot import CurvePlot, FrontPlot
from napari_samstar.widgets.panels.front.words import comparison, described, export, values
from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.viewer.layer_writer import COMPARISON_NAME

if TYPE_CHECKING:
    import napari

    from napari_samstar.core.tuning.front import Front

EXPORTS = {"csv": "Table", "png": "Picture"}
HINT = "Click a point to see its objects; ← → walk along the front; Shift+click compares."


class FrontPanel(Panel):
    """Shows all evaluated settings, the front among them, and the one whose masks are on show."""

    MAX_HEIGHT = 560

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._compared: int | None = None
        self._build_plot()
        self._build_buttons(napari_viewer)
        self.job_bar = JobBar(self)
        self.column.addWidget(self.job_bar)
        self.details = note()
        self.connect_links(self.details)
        self.column.addWidget(self.details)
        self._build_curve()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        events = self.controller.session.events
        self.listen(events.front, self._on_session_front)
        self.listen(events.chosen, self._on_session_chosen)
        self.listen(events.selection, self._on_session_chosen)
        self.listen(self.controller.jobs.changed, self.job_bar.show_status)
        self.listen(napari_viewer.events.theme, self._paint_theme)
        self._paint_theme()
        self._on_session_front()

    # --- build --------------------------------------------------------------------------------

    def _build_plot(self) -> None:
        self.plot = FrontPlot()
        self.plot.picked.connect(self._on_picked)
        self.plot.hovered.connect(self._on_hovered)
        self.column.addWidget(self.plot, 1)
        self.x_box, self.y_box = combo("The axis to the right."), combo("The axis upwards.")
        for box, start in ((self.x_box, 0), (self.y_box, 1)):
            for k, name in enumerate(OBJECTIVES):
                box.addItem(name, k)
            box.insertSeparator(box.count())
            for name, reward in REWARDS.items():
                box.addItem(reward.label, name)
                box.setItemData(box.count() - 1, reward.help, Qt.ItemDataRole.ToolTipRole)
            box.setCurrentIndex(start)
            box.currentIndexChanged.connect(self._on_axis_chosen)
        self.add_row(note("Across"), self.x_box, stretch=1).addWidget(note("Up"))
        self.column.itemAt(self.column.count() - 1).addWidget(self.y_box, 1)

    def _build_buttons(self, viewer: napari.Viewer) -> None:
        self.knee_button = _button("Knee", "The best balance of all goals.")
        self.best_button = _button("Best", "The highest weighted sum of what matters to you.")
        self.defaults_button = _button("Defaults", "What SAM gives without tuning, to compare.")
        self.export_button = _button("Export", "Save the front as a table or a picture.")
        for button, which in (
            (self.knee_button, "knee"),
            (self.best_button, "best"),
            (self.defaults_button, "defaults"),
        ):
            button.clicked.connect(partial(self._choose_named, which))
        menu = QMenu(self.export_button)
        for ending, what in EXPORTS.items():
            menu.addAction(f"{what} ({ending.upper()})…", partial(self._ask_where, ending))
        self.export_button.setMenu(menu)
        buttons = (self.knee_button, self.best_button, self.defaults_button, self.export_button)
        self.add_row(*buttons, stretch=-1)
        self.apply_row = ApplyRow(self, viewer)
        self.apply_button = self.apply_row.apply
        self.column.addWidget(self.apply_row)

    def _build_curve(self) -> None:
        self.curve = CurvePlot()
        tip = "Where the curve is flat, more settings to try will help little."
        self.curve_section = CollapsibleSection("How the search went", tip, self.curve)
        self.curve_section.toggled.connect(self._draw_curve)
        self.column.addWidget(self.curve_section)

    # --- what the user does ---------------------------------------------------------------------

    def choose(self, position: int) -> None:
        """Preview the masks of one evaluation."""
        self._compared = None
        self.controller.session.choose(position)

    def compare(self, position: int) -> None:
        """Show what changes from the evaluation on show to another one."""
        session = self.controller.session
        if session.chosen is None or session.chosen == position:
            self.choose(position)
            return
        words = self.controller.compare(position)
        if words:
            self._compared = position
            self._on_session_chosen()
            self.details.setText(comparison(words, session.front, position))

    def keyPressEvent(self, event: Any) -> None:
        """Walk along the front with the left and right arrow keys."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(event.key())
        front = self.controller.session.front
        if step is None or front is None:
            super().keyPressEvent(event)
            return
        members = front.members.tolist()
        chosen = self.controller.session.chosen
        at = members.index(chosen) if chosen in members else members.index(front.knee) - step
        self.choose(members[min(max(at + step, 0), len(members) - 1)])

    def export(self, path: str | Path) -> None:
        """Write the front as .csv (every setting tried) or .png, off the GUI thread."""
        front = self.controller.session.front
        if front is None:
            return
        worker = make_worker(export, front, self.controller.session.chosen, Path(path))
        worker.returned.connect(call_if_alive(self._on_exported))
        worker.start()

    def _ask_where(self, ending: str) -> None:
        path = ask_save_path(self, "Save", f"front.{ending}", ending, EXPORTS[ending])
        if path is not None:
            self.export(path)

    def _on_picked(self, position: int, shift: bool) -> None:
        self.setFocus()
        if shift:
            self.compare(position)
        else:
            self.choose(position)

    def _on_hovered(self, position: int) -> None:
        front = self.controller.session.front
        known = front is not None and 0 <= position < len(front.trials)
        self.plot.setToolTip(described(front, position) if known and front is not None else "")

    def _choose_named(self, which: str, *_: Any) -> None:
        front = self.controller.session.front
        position = getattr(front, which) if front is not None else None
        if position is not None:
            self.choose(position)

    # --- what happened ------------------------------------------------------------------------

    def _on_session_front(self, *_: Any) -> None:
        front = self.controller.session.front
        for button in (
            self.knee_button,
            self.best_button,
            self.defaults_button,
            self.export_button,
        ):
            button.setEnabled(front is not None)
        if front is None:
            self.plot.empty()
            self.details.setText(f"Press <i>Tune</i> in the {link('Tune')} panel: it grows here.")
        else:
            x, y = self._xy(front)
            shown = {self.x_box.currentData(), self.y_box.currentData()}
            # With a third goal, or other axes, the members do not lie on one line.
            self.plot.draw(front, x, y, lined=shown == set(front.goal.used))
        self._draw_curve()
        self._on_session_chosen()

    def _on_axis_chosen(self, *_: Any) -> None:
        self.plot.empty()
        self._on_session_front()

    def _xy(self, front: Front) -> tuple[Any, Any]:
        axes = []
        for box, side in ((self.x_box, "bottom"), (self.y_box, "left")):
            axes.append(values(front, box.currentData()))
            self.plot.setLabel(side, box.currentText())
        return axes[0], axes[1]

    def _draw_curve(self, *_: Any) -> None:
        front = self.controller.session.front
        if front is None or not self.curve_section.isExpanded():
            self.curve.curve.setData([], [])
            return
        from napari_samstar.core.tuning.front import hypervolume_by_generation

        volumes = hypervolume_by_generation(front.trials, front.goal)
        self.curve.curve.setData(np.arange(len(volumes)), volumes)

    def _on_session_chosen(self, *_: Any) -> None:
        session = self.controller.session
        front, chosen = session.front, session.chosen
        if front is None:
            return
        x, y = self._xy(front)
        known = chosen is not None and chosen < len(front.trials)
        self.plot.mark(self.plot.ring, x, y, chosen if known else None)
        compared = self._compared if self.controller.layers.visible_layer(COMPARISON_NAME) else None
        self.plot.mark(self.plot.other, x, y, compared)
        if not known or chosen is None:
            self.details.setText(HINT)
        elif compared is None:
            self.details.setText(described(front, chosen))

    def _on_exported(self, text: str) -> None:
        self.details.setText(text)

    def _paint_theme(self, *_: Any) -> None:
        viewer = self.viewer()
        if viewer is not None:
            self.plot.paint(viewer.theme)
            self.curve.paint(viewer.theme)


def _button(text: str, tip: str) -> QPushButton:
    made = QPushButton(text)
    made.setToolTip(tip)
    return made

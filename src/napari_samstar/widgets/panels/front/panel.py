"""The Pareto front panel: clicking a point of the plot previews its masks."""

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
from napari_samstar.widgets.forms.buttons import CollapsibleSection, share_width
from napari_samstar.widgets.forms.dialogs import ask_save_path
from napari_samstar.widgets.forms.job_bar import JobBar
from napari_samstar.widgets.forms.shared import combo, link, note
from napari_samstar.widgets.jobs.workers import make_worker
from napari_samstar.widgets.panel import Panel
from napari_samstar.widgets.panels.front.diagnosis_note import DiagnosisNote
from napari_samstar.widgets.panels.front.plot import CurvePlot, FrontPlot
from napari_samstar.widgets.panels.front.words import (
    axis_values,
    comparison_html,
    export_front,
    trial_html,
)
from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.viewer.layer_writer import COMPARISON_NAME

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from napari_samstar.core.tuning.front import Front

DETAILS_HEIGHT = 74  # px, of the text about the chosen trial
EXPORTS = {"csv": "Table", "png": "Picture"}
HINT = "Click a point to see its objects; ← → walk along the front; Shift+click compares."


class FrontPanel(Panel):
    """Shows all trials, the front and the chosen trial."""

    MAX_HEIGHT = 560

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._compared: int | None = None
        self._build_plot()
        self._build_buttons(napari_viewer)
        self.diagnosis = DiagnosisNote(self)
        self.column.addWidget(self.diagnosis)
        self._build_curve()
        self.details = note()
        self.connect_links(self.details)
        self.details.setMinimumHeight(DETAILS_HEIGHT)  # the plot does not jump when text comes
        self.details.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.column.addWidget(self.details)
        self.column.addStretch(0)
        self.actions.addWidget(self.apply_row)
        self.job_bar = JobBar(self)
        self.actions.addWidget(self.job_bar)
        self.plot.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.plot.stepped.connect(self._step)
        events = self.controller.session.events
        self.listen(events.front, self._on_session_front)
        self.listen(events.chosen, self._on_session_chosen)
        self.listen(events.selection, self._on_session_chosen)
        self.listen(napari_viewer.events.theme, self._apply_theme)
        self._apply_theme()
        self._on_session_front()

    # --- build --------------------------------------------------------------------------------

    def _build_plot(self) -> None:
        self.plot = FrontPlot()
        self.plot.picked.connect(self._on_picked)
        self.plot.hovered.connect(self._on_hovered)
        self.column.addWidget(self.plot, 1)
        self.x_box, self.y_box = combo("The horizontal axis."), combo("The vertical axis.")
        for box, start in ((self.x_box, 0), (self.y_box, 1)):
            for k, name in enumerate(OBJECTIVES):
                box.addItem(name, k)
            box.insertSeparator(box.count())
            for name, reward in REWARDS.items():
                box.addItem(reward.label, name)
                box.setItemData(box.count() - 1, reward.help, Qt.ItemDataRole.ToolTipRole)
            box.setMinimumContentsLength(4)
            box.setCurrentIndex(start)
            box.currentIndexChanged.connect(self._on_axis_chosen)
        self.add_row(note("Across"), self.x_box, stretch=1).addWidget(note("Up"))
        self.column.itemAt(self.column.count() - 1).addWidget(self.y_box, 1)

    def _build_buttons(self, viewer: napari.Viewer) -> None:
        self.knee_button = _button("Knee", "The best balance of the objectives.")
        self.best_button = _button(
            "Best",
            "The highest weighted mean of all rewards; SAM's defaults if none is clearly better.",
        )
        self.defaults_button = _button("Defaults", "SAM's default settings, to compare.")
        self.export_button = _button(
            "Export", "Save all trials as a table, or the plot as a picture."
        )
        for button, name in (
            (self.knee_button, "knee"),
            (self.best_button, "best"),
            (self.defaults_button, "defaults"),
        ):
            button.clicked.connect(partial(self._choose_named, name))
        menu = QMenu(self.export_button)
        for suffix, kind in EXPORTS.items():
            menu.addAction(f"{kind} ({suffix.upper()})…", partial(self._on_export, suffix))
        self.export_button.setMenu(menu)
        buttons = (self.best_button, self.knee_button, self.defaults_button, self.export_button)
        share_width(*buttons)
        line = self.add_row(*buttons)
        for k in range(len(buttons)):
            line.setStretch(k, 1)
        self.apply_row = ApplyRow(self, viewer)
        self.apply_button = self.apply_row.apply

    def _build_curve(self) -> None:
        self.curve = CurvePlot()
        tip = "Where the curve is flat, more trials will help little."
        self.curve_section = CollapsibleSection("How the search went", tip, self.curve)
        self.curve_section.toggled.connect(self._draw_curve)
        self.column.addWidget(self.curve_section)

    # --- user actions -------------------------------------------------------------------------

    def choose(self, position: int) -> None:
        """Preview the masks of a trial."""
        self._compared = None
        self.controller.session.choose(position)

    def compare(self, position: int) -> None:
        """Show the differences between the chosen trial and another one."""
        session = self.controller.session
        if session.chosen is None or session.chosen == position:
            self.choose(position)
            return
        counts = self.controller.compare(position)
        if counts:
            self._compared = position
            self._on_session_chosen()
            self.details.setText(comparison_html(counts, session.front, position))

    def _step(self, step: int) -> None:
        """Choose the next member of the front, or the one before."""
        front = self.controller.session.front
        if front is None:
            return
        members = front.members.tolist()
        chosen = self.controller.session.chosen
        at = members.index(chosen) if chosen in members else members.index(front.knee) - step
        self.choose(members[min(max(at + step, 0), len(members) - 1)])

    def export(self, path: str | Path) -> None:
        """Write all trials as .csv, or the plot as .png, off the GUI thread."""
        front = self.controller.session.front
        if front is None:
            return
        worker = make_worker(export_front, front, self.controller.session.chosen, Path(path))
        worker.returned.connect(call_if_alive(self._on_exported))
        worker.start()

    def _on_export(self, suffix: str) -> None:
        path = ask_save_path(self, "Save", f"front.{suffix}", suffix, EXPORTS[suffix])
        if path is not None:
            self.export(path)

    def _on_picked(self, position: int, shift: bool) -> None:
        self.plot.setFocus()  # the arrow keys now walk along the front
        if shift:
            self.compare(position)
        else:
            self.choose(position)

    def _on_hovered(self, position: int) -> None:
        front = self.controller.session.front
        is_trial = front is not None and 0 <= position < len(front.trials)
        self.plot.setToolTip(trial_html(front, position) if is_trial and front is not None else "")

    def _choose_named(self, name: str, *_: Any) -> None:
        front = self.controller.session.front
        position = getattr(front, name) if front is not None else None
        if position is not None:
            self._compared = None
            rule = name if name in ("knee", "best") else ""
            self.controller.session.choose(position, rule)

    # --- updates ------------------------------------------------------------------------------

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
            self.details.setText(
                f"Press <i>Tune</i> in the {link('Tune')} panel to see its trials here."
            )
        else:
            x, y = self._xy(front)
            shown = {self.x_box.currentData(), self.y_box.currentData()}
            # With three objectives, or rewards as axes, the members do not form a line
            self.plot.draw(front, x, y, connect_members=shown == set(front.goal.used))
        self._draw_curve()
        self._on_session_chosen()

    def _on_axis_chosen(self, *_: Any) -> None:
        self.plot.empty()
        self._on_session_front()

    def _xy(self, front: Front) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        axes = []
        for box, side in ((self.x_box, "bottom"), (self.y_box, "left")):
            axes.append(axis_values(front, box.currentData()))
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
        is_trial = chosen is not None and chosen < len(front.trials)
        self.plot.mark(self.plot.chosen_ring, x, y, chosen if is_trial else None)
        compared = self._compared if self.controller.layers.visible_layer(COMPARISON_NAME) else None
        self.plot.mark(self.plot.compared_ring, x, y, compared)
        if not is_trial or chosen is None:
            self.details.setText(HINT)
        elif compared is None:
            self.details.setText(trial_html(front, chosen))

    def _on_exported(self, text: str) -> None:
        self.details.setText(text)

    def _apply_theme(self, *_: Any) -> None:
        viewer = self.viewer()
        if viewer is not None:
            self.plot.apply_theme(viewer.theme)
            self.curve.apply_theme(viewer.theme)


def _button(text: str, tip: str) -> QPushButton:
    made = QPushButton(text)
    made.setToolTip(tip)
    return made

"""The Tune panel: what a good segmentation is, and how long to look for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGridLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_samstar.core.errors import UserError
from napari_samstar.core.goal import OBJECTIVES, Goal
from napari_samstar.core.rewards import REWARDS
from napari_samstar.widgets._shared import JobBar, Panel, heading, note

if TYPE_CHECKING:
    import napari

SCOPES = {
    "Filters only (instant)": "filters",
    "Filters and point grids": "grids",
    "Everything, with zoom levels": "everything",
}
MOST_WEIGHT = 3.0


class TunePanel(Panel):
    """Searches SAM's settings for what the user asks for."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.column.addWidget(heading("What matters"))
        self.goal_form = GoalForm()
        self.goal_form.changed = self._on_goal_changed
        self.column.addWidget(self.goal_form)
        self._build_search_rows()
        self.run_button = QPushButton("Tune")
        self.run_button.setToolTip("Search settings in the background; the front grows meanwhile.")
        self.run_button.clicked.connect(self.run)
        self.column.addWidget(self.run_button)
        self.job_bar = JobBar(self)
        self.column.addWidget(self.job_bar)
        self.message = note()
        self.column.addWidget(self.message)
        self.column.addStretch(1)
        events = self.desk.session.events
        self.listen(events.segmented, self._refresh)
        self.listen(events.front, self._refresh)
        self.listen(self.desk.jobs.changed, self._on_jobs_changed)
        self.listen(self.desk.jobs.failed, self._on_jobs_failed)
        if self.desk.session.goal is not None:
            self.goal_form.show_goal(self.desk.session.goal)
        self._refresh()

    def _build_search_rows(self) -> None:
        self.column.addWidget(heading("Search"))
        self.scope_box = QComboBox()
        self.scope_box.addItems(list(SCOPES))
        self.scope_box.setToolTip(
            "Filters re-use what SAM has proposed. Grids and zoom levels ask SAM again."
        )
        self.scope_box.currentIndexChanged.connect(self._refresh)
        self.budget_box = QSpinBox()
        self.budget_box.setRange(32, 10_000)
        self.budget_box.setSingleStep(100)
        self.budget_box.setValue(400)
        self.budget_box.setToolTip("How many settings are tried.")
        self.seed_box = QSpinBox()
        self.seed_box.setRange(0, 2**31 - 1)
        self.seed_box.setToolTip("The same seed gives the same result.")
        form = QFormLayout()
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("May change", self.scope_box)
        form.addRow("Settings to try", self.budget_box)
        form.addRow("Seed", self.seed_box)
        self.column.addLayout(form)

    # --- what the user does ---------------------------------------------------------------------

    def run(self) -> None:
        """Start the search on the segmented plane."""
        segmented = self.desk.session.segmented
        if segmented is None:
            return
        self.message.clear()
        try:
            self.desk.tune(self.goal_form.goal(), self._plan())
        except UserError as error:
            self._on_jobs_failed(str(error))

    def _plan(self) -> Any:
        from napari_samstar.core.search import Plan

        segmented = self.desk.session.segmented
        assert segmented is not None
        scope = cast(
            "Literal['filters', 'grids', 'everything']", SCOPES[self.scope_box.currentText()]
        )
        return Plan(
            scope=scope,
            evaluations=self.budget_box.value(),
            seed=self.seed_box.value(),
            base=segmented.selection.config,
        )

    def _on_goal_changed(self) -> None:
        try:
            self.desk.session.set_goal(self.goal_form.goal())
        except UserError as error:
            self._on_jobs_failed(str(error))

    # --- what happened ------------------------------------------------------------------------

    def _refresh(self, *_: Any) -> None:
        session = self.desk.session
        ready = session.segmented is not None
        self.run_button.setEnabled(ready)
        if not ready:
            self.message.setText("First press <i>Segment</i> in the Segment panel.")
        elif session.front is not None:
            front = session.front
            self.message.setText(
                f"<b>{len(front.evaluations)} settings tried</b>, {len(front.members)} of them "
                "on the Pareto front. Click a point there to see its objects."
            )
        else:
            self.message.setText(self._estimate())

    def _estimate(self) -> str:
        from napari_samstar.core.tuning import seconds_to_decode

        segmented = self.desk.session.segmented
        assert segmented is not None
        seconds = seconds_to_decode(segmented.bank, self._plan())
        if not seconds:
            return "Ready: SAM has proposed all it needs to, so this takes seconds."
        span = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
        return f"SAM itself will run for up to {span}; the rest takes seconds."

    def _on_jobs_changed(self, status: Any) -> None:
        self.job_bar.show_status(status)
        if not status.title:
            self._refresh()

    def _on_jobs_failed(self, text: str) -> None:
        self.message.setText(f"<span style='color:#e0605a'>{text}</span>")


class GoalForm(QWidget):
    """A row for each reward: its weight and the objective it belongs to."""

    def __init__(self) -> None:
        super().__init__()
        self.changed: Any = None
        self.weights: dict[str, QLabeledDoubleSlider] = {}
        self.objectives: dict[str, QComboBox] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        for row, (name, reward) in enumerate(REWARDS.items()):
            label = QLabel(reward.label)
            slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
            slider.setRange(0, MOST_WEIGHT)
            slider.setSingleStep(0.1)
            slider.setDecimals(1)
            slider.setMinimumWidth(90)
            box = QComboBox()
            box.addItems(list(OBJECTIVES))
            box.setToolTip("The axis of the Pareto front that this counts towards.")
            for widget in (label, slider):
                widget.setToolTip(reward.help)
            self.weights[name], self.objectives[name] = slider, box
            for column, widget in enumerate((label, slider, box)):
                grid.addWidget(widget, row, column)
        self.show_goal(Goal())
        for slider, box in zip(self.weights.values(), self.objectives.values(), strict=True):
            slider.valueChanged.connect(self._on_changed)
            box.currentIndexChanged.connect(self._on_changed)

    def goal(self) -> Goal:
        """Return the goal as shown; UserError where all weights are 0."""
        return Goal(
            {name: round(slider.value(), 2) for name, slider in self.weights.items()},
            {name: box.currentIndex() for name, box in self.objectives.items()},
        )

    def show_goal(self, goal: Goal) -> None:
        """Show `goal`."""
        for name, slider in self.weights.items():
            box = self.objectives[name]
            with QSignalBlocker(slider), QSignalBlocker(box):
                slider.setValue(goal.weights.get(name, 0.0))
                box.setCurrentIndex(goal.objectives.get(name, REWARDS[name].objective))

    def _on_changed(self) -> None:
        if self.changed is not None:
            self.changed()

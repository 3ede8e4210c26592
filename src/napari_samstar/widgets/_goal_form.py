"""What matters: a weight and an objective for each reward."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget
from superqt import QCollapsible, QLabeledDoubleSlider

from napari_samstar.core.goal import OBJECTIVES, Goal
from napari_samstar.core.rewards import REWARDS
from napari_samstar.widgets._shared import combo

MOST_WEIGHT = 3.0


class GoalForm(QWidget):
    """A row for each reward; those without weight wait in a drawer.

    Attributes
    ----------
    weights, objectives : dict
        The slider and the menu of each reward, by its name.
    expectations : QVBoxLayout
        The place for what rewards need to be told, such as sizes; empty so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.changed: Any = None
        self.weights: dict[str, QLabeledDoubleSlider] = {}
        self.objectives: dict[str, Any] = {}
        self._labels: dict[str, QLabel] = {}
        self._shown, self._hidden = QWidget(), QWidget()
        self._drawer = QCollapsible("More rewards")
        self._drawer.setToolTip("Everything else that can be asked for. A weight above 0 counts.")
        self._drawer.addWidget(self._hidden)
        self.expectations = QVBoxLayout()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self._shown)
        column.addWidget(self._drawer)
        column.addLayout(self.expectations)
        for part in (self._shown, self._hidden):
            grid = QGridLayout(part)
            grid.setContentsMargins(0, 0, 0, 0)
            grid.setVerticalSpacing(2)
            grid.setColumnStretch(1, 1)
        for name in REWARDS:
            self._add_row(name)
        self.show_goal(Goal())

    def _add_row(self, name: str) -> None:
        reward = REWARDS[name]
        slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        slider.setRange(0, MOST_WEIGHT)
        slider.setSingleStep(0.1)
        slider.setDecimals(1)
        slider.setMinimumWidth(80)
        box = combo("The axis of the Pareto front that this counts towards.", OBJECTIVES)
        label = QLabel(reward.label)
        for widget in (label, slider):
            widget.setToolTip(reward.help)
        self.weights[name], self.objectives[name], self._labels[name] = slider, box, label
        slider.valueChanged.connect(self._on_changed)
        box.currentIndexChanged.connect(self._on_changed)

    def goal(self) -> Goal:
        """Return the goal as shown; UserError where all weights are 0."""
        return Goal(
            {name: round(slider.value(), 2) for name, slider in self.weights.items()},
            {name: box.currentIndex() for name, box in self.objectives.items()},
        )

    def show_goal(self, goal: Goal) -> None:
        """Show `goal`; its weighted rewards come first, the others go into the drawer."""
        for name, slider in self.weights.items():
            box = self.objectives[name]
            with QSignalBlocker(slider), QSignalBlocker(box):
                slider.setValue(goal.weights.get(name, 0.0))
                box.setCurrentIndex(goal.objectives.get(name, REWARDS[name].objective))
        weighted = [name for name in REWARDS if goal.weights.get(name, 0.0) > 0]
        others = [name for name in REWARDS if name not in weighted]
        for part, names in ((self._shown, weighted), (self._hidden, others)):
            for row, name in enumerate(names):
                widgets = (self._labels[name], self.weights[name], self.objectives[name])
                for column, widget in enumerate(widgets):
                    part.layout().addWidget(widget, row, column)
        self._drawer.setText(f"More rewards ({len(others)})")
        self._drawer.setVisible(bool(others))

    def _on_changed(self) -> None:
        if self.changed is not None:
            self.changed()

"""The goal of a search: a weight and an objective for each reward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider

from napari_samstar.core.rewards.goal import OBJECTIVES, Goal
from napari_samstar.core.rewards.presets import PRESETS
from napari_samstar.core.rewards.registry import REWARDS
from napari_samstar.widgets.forms.buttons import CollapsibleSection
from napari_samstar.widgets.forms.numbers import accept_decimal_comma
from napari_samstar.widgets.forms.shared import combo

MAX_WEIGHT = 3.0
CUSTOM = "Custom weights"
COMBO_WIDTH = 84  # px; less cuts words, and the dock has room for no more
SHORT = [name.partition(" ")[0] for name in OBJECTIVES]


class GoalForm(QWidget):
    """A row for each reward; those without weight are in a collapsible section.

    Attributes
    ----------
    changed : callable, optional
        Called when the user changes the goal.
    weights, objectives : dict of str to QLabeledDoubleSlider, of str to QComboBox
        By the reward's name.
    preset_box : QComboBox
        Choice of a preset.
    """

    def __init__(self) -> None:
        super().__init__()
        self.changed: Callable[[], None] | None = None
        self.weights: dict[str, QLabeledDoubleSlider] = {}
        self.objectives: dict[str, Any] = {}
        self._labels: dict[str, QLabel] = {}
        self._shown, self._hidden = QWidget(), QWidget()
        self._section = CollapsibleSection(
            "More rewards",
            "All other rewards. Those with a weight above 0 count.",
            self._hidden,
        )
        self.preset_box = combo("A preset sets the weights below.")
        for name, preset in PRESETS.items():
            self.preset_box.addItem(preset.label, name)
            row = self.preset_box.count() - 1
            self.preset_box.setItemData(row, preset.help, Qt.ItemDataRole.ToolTipRole)
        self.preset_box.addItem(CUSTOM, "")
        self.preset_box.activated.connect(self._on_preset_activated)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.preset_box)
        column.addWidget(self._shown)
        column.addWidget(self._section)
        for part in (self._shown, self._hidden):
            grid = QGridLayout(part)
            grid.setContentsMargins(0, 0, 0, 0)
            grid.setVerticalSpacing(2)
            grid.setColumnStretch(1, 1)
        for name in REWARDS:
            self._add_row(name)
        self.show_goal(next(iter(PRESETS.values())).goal)

    def _add_row(self, name: str) -> None:
        reward = REWARDS[name]
        slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        slider.setRange(0, MAX_WEIGHT)
        slider.setSingleStep(0.1)
        slider.setDecimals(1)
        slider.setMinimumWidth(66)
        accept_decimal_comma(slider)
        box = combo("The axis of the Pareto front that this reward counts towards.", SHORT)
        box.setMinimumContentsLength(0)
        box.setMinimumWidth(COMBO_WIDTH)
        for k, text in enumerate(OBJECTIVES):
            box.setItemData(k, text, Qt.ItemDataRole.ToolTipRole)
        label = QLabel(reward.label)
        for widget in (label, slider):
            needs = f"\nNeeds {reward.needs}." if reward.needs else ""
            widget.setToolTip(reward.help + needs)
        self.weights[name], self.objectives[name], self._labels[name] = slider, box, label
        slider.valueChanged.connect(self._on_changed)
        box.currentIndexChanged.connect(self._on_changed)

    def goal(self) -> Goal:
        """Return the goal as shown; UserError if all weights are 0."""
        return Goal(
            {name: round(slider.value(), 2) for name, slider in self.weights.items()},
            {name: box.currentIndex() for name, box in self.objectives.items()},
        )

    def show_goal(self, goal: Goal) -> None:
        """Show `goal`; the rewards without weight go into the collapsible section."""
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
        self._show_preset(goal)
        self._section.setText(f"More rewards ({len(others)})")
        self._section.setVisible(bool(others))

    def swap_preset(self, before: str, after: str) -> bool:
        """Show the preset `after` if `before` is shown; returns whether it was."""
        swap = bool(self.preset_box.currentData() == before)
        if swap:
            self.show_goal(PRESETS[after].goal)
        return swap

    def _show_preset(self, goal: Goal) -> None:
        """Choose the preset that is equal to `goal`, or "Custom weights"."""
        equal = [name for name, preset in PRESETS.items() if _same_goal(preset.goal, goal)]
        self.preset_box.setCurrentIndex(self.preset_box.findData(equal[0] if equal else ""))

    def _on_preset_activated(self, _: int) -> None:
        preset = PRESETS.get(self.preset_box.currentData())
        if preset is not None:
            self.show_goal(preset.goal)
            self._notify()

    def _on_changed(self) -> None:
        self.preset_box.setCurrentIndex(self.preset_box.findData(""))
        self._notify()

    def _notify(self) -> None:
        if self.changed is not None:
            self.changed()


def _same_goal(one: Goal, other: Goal) -> bool:
    """Return whether two goals have equal weights above 0, with equal objectives."""

    def weighted(goal: Goal) -> dict[str, tuple[float, int]]:
        return {
            name: (weight, goal.objectives.get(name, REWARDS[name].objective))
            for name, weight in goal.weights.items()
            if weight > 0
        }

    return weighted(one) == weighted(other)

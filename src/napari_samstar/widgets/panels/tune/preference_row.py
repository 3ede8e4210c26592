"""The line that suggests weights from what the user chose; it changes none by itself."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_samstar.core.rewards.registry import REWARDS
from napari_samstar.widgets.forms.buttons import button
from napari_samstar.widgets.forms.shared import counted, note, shorten

if TYPE_CHECKING:
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.preference import Choice, Suggestion
    from napari_samstar.widgets.panel import Panel

LISTED = 5
"""Choices that are listed, the latest ones."""


class PreferenceRow(QWidget):
    """Says how many choices are noted, or what they suggest; hidden where there are none.

    Attributes
    ----------
    used : callable, optional
        Called with the goal when the user wants the suggested weights.
    text : QLabel
    use_button, not_now_button, more_button : QPushButton
        The last one has a menu: list the choices, switch noting off, forget them.
    """

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self.used: Callable[[Goal], None] | None = None
        self._choices = panel.controller.choices
        self._listed = False
        self.text = note()
        self.use_button = button("Use", "Set the weights below as suggested.", self._on_use)
        self.not_now_button = button(
            "Not now", "Hide this until you have made another choice.", self._choices.not_now
        )
        self.more_button = QPushButton("…")
        self.more_button.setFixedWidth(32)
        self.more_button.setToolTip("The points that you applied: list them, stop, or forget them.")
        self._build_menu()
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.use_button, 1)
        line.addWidget(self.not_now_button, 1)
        top = QHBoxLayout()
        top.setSpacing(4)
        top.addWidget(self.text, 1)
        top.addWidget(self.more_button, alignment=Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(top)
        column.addLayout(line)
        panel.listen(self._choices.changed, self.refresh)
        panel.listen(panel.controller.session.events.goal, self.refresh)
        self.refresh()
        self._choices.refresh()

    def _build_menu(self) -> None:
        self.menu = QMenu(self.more_button)
        self.list_action = self.menu.addAction("List my choices")
        self.list_action.setCheckable(True)
        self.list_action.toggled.connect(self._on_list_toggled)
        self.note_action = self.menu.addAction("Note what I apply")
        self.note_action.setCheckable(True)
        self.note_action.triggered.connect(self._choices.switch)
        self.forget_action = self.menu.addAction("Forget my choices")
        self.forget_action.triggered.connect(self._choices.forget)
        self.more_button.clicked.connect(self._on_more_clicked)

    def refresh(self, *_: Any) -> None:
        """Show what is known now."""
        known, found = self._choices.known, self._choices.suggestion
        is_off = known is not None and not known.stored.on
        n = len(known.noted) if known is not None else 0
        self.setVisible(bool(n) or is_off or found is not None)
        for each in (self.use_button, self.not_now_button):
            each.setVisible(found is not None)
        self.note_action.setChecked(not is_off)
        if found is not None and known is not None:
            text = f"<b>{known.words}</b> {found.evidence}"
            self.use_button.setToolTip(f"Set the weights below:\n{_changes(found)}")
        elif is_off:
            text = "What you apply is not noted."
        else:
            text = f"{counted(n, 'choice')} of yours noted for goals like this."
        if self._listed and known is not None:
            text += "".join(f"<br>• {_line(c)}" for c in known.noted[-LISTED:])
        self.text.setText(text)

    def _on_use(self) -> None:
        found = self._choices.suggestion
        if found is not None and self.used is not None:
            self.used(found.goal)

    def _on_more_clicked(self) -> None:
        self.menu.popup(self.more_button.mapToGlobal(self.more_button.rect().bottomLeft()))

    def _on_list_toggled(self, on: bool) -> None:
        self._listed = on
        self.refresh()


def _changes(found: Suggestion) -> str:
    """Return a line for each weight that would change."""
    before = found.present.weights
    return "\n".join(
        f"{REWARDS[name].label}: {before.get(name, 0.0):.1f} → {weight:.1f}"
        for name, weight in found.changes.items()
    )


def _line(choice: Choice) -> str:
    others = ", ".join(str(p.n_masks) for p in choice.passed[:4])
    more = ", …" if len(choice.passed) > 4 else ""
    where = escape(shorten(choice.name, 24))
    return f"{choice.when[:10]}, {where}: {choice.applied.n_masks} objects, not {others}{more}"

"""Which channels of an image SAM sees: one button for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QWidget

from napari_samstar.core.image.mapping import MERGE_COLOURS
from napari_samstar.widgets.forms.shared import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = len(MERGE_COLOURS)
"""So many channels can be merged, and so many buttons are shown."""

_LONGEST = 10  # letters of a name on its button


class ChannelRow(QWidget):
    """Buttons of channels; with none pressed, SAM sees the channel that the viewer shows."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._names: tuple[str, ...] = ()
        self.buttons: list[QPushButton] = []
        self._line = QHBoxLayout(self)
        self._line.setContentsMargins(0, 0, 0, 0)
        self._line.setSpacing(3)
        self._line.addStretch(1)

    def show_channels(self, names: Sequence[str]) -> None:
        """Show other channels; the same ones keep what is pressed."""
        if tuple(names) == self._names:
            return
        self._names = tuple(names)
        for old in self.buttons:
            self._line.removeWidget(old)
            old.deleteLater()
        self.buttons = [self._button(k, name) for k, name in enumerate(names[:MOST])]

    def chosen(self) -> tuple[int, ...]:
        """Return the channels whose buttons are pressed, ascending."""
        return tuple(k for k, button in enumerate(self.buttons) if button.isChecked())

    def choose(self, channels: Sequence[int]) -> None:
        """Press the buttons of some channels, as a recipe says."""
        for k, button in enumerate(self.buttons):
            button.setChecked(k in channels)

    def _button(self, k: int, name: str) -> QPushButton:
        button = QPushButton()
        button.setCheckable(True)
        button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        button.setText(shorten(name, _LONGEST))
        button.setToolTip(
            f"{name}: press it for SAM to see this channel. Several are merged in colours; with "
            "none pressed, SAM sees the channel on show."
        )
        button.toggled.connect(self._on_toggled)
        self._line.insertWidget(k, button)
        return button

    def _on_toggled(self, *_: Any) -> None:
        self.changed.emit()

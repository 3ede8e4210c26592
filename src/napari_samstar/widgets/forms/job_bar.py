"""Progress of the running job, the time left and a Stop button."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_samstar.widgets.forms.shared import note

if TYPE_CHECKING:
    from napari_samstar.widgets.jobs.jobs import Status
    from napari_samstar.widgets.panel import Panel


class JobBar(QWidget):
    """Shows the running job, its time left and a Stop button; hidden if no job runs."""

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._jobs = panel.controller.jobs
        self.text = note()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(10)
        self.stop = QPushButton("Stop")
        self.stop.setToolTip("Stop now. Results so far are kept.")
        self.stop.clicked.connect(self._jobs.stop)
        line = QHBoxLayout()
        line.addWidget(self.bar, 1)
        line.addWidget(self.stop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.text)
        column.addLayout(line)
        panel.listen(self._jobs.changed, self.show_status)
        self.show_status(self._jobs.status)

    def show_status(self, status: Status) -> None:
        """Show `status`."""
        self.setVisible(bool(status.title))
        step = status.progress
        self.bar.setRange(0, step.total)
        self.bar.setValue(step.done)
        self.text.setText((step.text or status.title) + time_left(status.seconds_left))


def time_left(seconds: float | None) -> str:
    """Return a text such as " — about 2 min left", "…" if the time, s, is not known."""
    if seconds is None:
        return "…"
    if seconds < 90:
        return f" — about {max(1, round(seconds))} s left"
    return f" — about {round(seconds / 60)} min left"

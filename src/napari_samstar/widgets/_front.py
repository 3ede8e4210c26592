"""The Pareto front panel: a plot whose points are clicked to preview masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from napari.utils.theme import get_theme
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QComboBox, QPushButton, QSizePolicy

from napari_samstar.core.config import SETTINGS
from napari_samstar.core.goal import OBJECTIVES
from napari_samstar.widgets._shared import ApplyRow, Panel, note

if TYPE_CHECKING:
    import napari

    from napari_samstar.core.pareto import Front

ACCENT = "#f2a03d"
DEFAULTS = "#4fb0c6"
KNEE = "#8ac926"


class FrontPanel(Panel):
    """Shows all evaluated settings, the front among them, and the one whose masks are on show."""

    HIGH = 560

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._viewer = napari_viewer
        self._build_plot()
        self._build_buttons()
        self.details = note()
        self.column.addWidget(self.details)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        events = self.desk.session.events
        self.listen(events.front, self._on_session_front)
        self.listen(events.chosen, self._on_session_chosen)
        self.listen(events.selection, self._on_session_chosen)
        self.listen(napari_viewer.events.theme, self._paint_theme)
        self._paint_theme()
        self._on_session_front()

    # --- build --------------------------------------------------------------------------------

    def _build_plot(self) -> None:
        self.plot = _Plot()
        self.plot.setMinimumSize(260, 170)
        self.plot.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        for side in ("left", "bottom"):
            self.plot.getAxis(side).enableAutoSIPrefix(False)
        self.plot.getViewBox().setDefaultPadding(0.06)
        self.plot.addLegend(offset=(8, -8), labelTextSize="8pt", verSpacing=-6)
        self._tried = pg.ScatterPlotItem(size=5, pen=None, name="tried")
        self._line = pg.PlotDataItem(connect="all")
        self._members = pg.ScatterPlotItem(
            size=10, hoverable=True, hoverSize=14, tip=None, name="Pareto front"
        )
        self._members.sigClicked.connect(self._on_members_clicked)
        self._members.sigHovered.connect(self._on_members_hovered)
        self._defaults = pg.ScatterPlotItem(size=15, symbol="star", name="SAM's defaults")
        self._knee = pg.ScatterPlotItem(size=14, symbol="d", name="knee")
        self._ring = pg.ScatterPlotItem(size=20, brush=None, name="on show")
        for item in (
            self._tried,
            self._line,
            self._members,
            self._defaults,
            self._knee,
            self._ring,
        ):
            self.plot.addItem(item)
        self._knee.sigClicked.connect(self._on_knee_clicked)
        self._defaults.sigClicked.connect(self._on_defaults_clicked)
        self.column.addWidget(self.plot, 1)

    def _build_buttons(self) -> None:
        self.x_box, self.y_box = QComboBox(), QComboBox()
        for box, start in ((self.x_box, 0), (self.y_box, 1)):
            box.addItems(list(OBJECTIVES))
            box.setCurrentIndex(start)
            box.currentIndexChanged.connect(self._on_session_front)
        self.knee_button = QPushButton("Knee")
        self.knee_button.setToolTip("The best balance of all goals.")
        self.knee_button.clicked.connect(self._on_knee_clicked)
        self.best_button = QPushButton("Best for weights")
        self.best_button.setToolTip("The highest weighted sum of what matters to you.")
        self.best_button.clicked.connect(self._on_best_clicked)
        self.defaults_button = QPushButton("SAM's defaults")
        self.defaults_button.setToolTip("What SAM gives without tuning, to compare.")
        self.defaults_button.clicked.connect(self._on_defaults_clicked)
        self.apply_row = ApplyRow(self, self._viewer)
        self.apply_button = self.apply_row.apply
        self.row(note("Across"), self.x_box, note("Up"), self.y_box, stretch=-1)
        self.row(self.knee_button, self.best_button, self.defaults_button, stretch=-1)
        self.column.addWidget(self.apply_row)

    # --- what the user does ---------------------------------------------------------------------

    def choose(self, position: int) -> None:
        """Preview the masks of one evaluation."""
        self.desk.session.choose(position)

    def keyPressEvent(self, event: Any) -> None:
        """Walk along the front with the left and right arrow keys."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(event.key())
        front = self.desk.session.front
        if step is None or front is None:
            super().keyPressEvent(event)
            return
        members = front.members.tolist()
        chosen = self.desk.session.chosen
        at = members.index(chosen) if chosen in members else members.index(front.knee) - step
        self.choose(members[min(max(at + step, 0), len(members) - 1)])

    def _on_members_clicked(self, _: Any, points: Any, __: Any = None) -> None:
        self.setFocus()
        if len(points):
            self.choose(int(points[0].data()))

    def _on_members_hovered(self, _: Any, points: Any, __: Any = None) -> None:
        front = self.desk.session.front
        if front is not None and len(points):
            self.plot.setToolTip(_describe(front, int(points[0].data())))
        else:
            self.plot.setToolTip("")

    def _on_knee_clicked(self, *_: Any) -> None:
        front = self.desk.session.front
        if front is not None:
            self.choose(front.knee)

    def _on_best_clicked(self) -> None:
        front = self.desk.session.front
        if front is not None:
            self.choose(front.best)

    def _on_defaults_clicked(self, *_: Any) -> None:
        front = self.desk.session.front
        if front is not None and front.defaults is not None:
            self.choose(front.defaults)

    # --- what happened ------------------------------------------------------------------------

    def _on_session_front(self, *_: Any) -> None:
        front = self.desk.session.front
        for button in (self.knee_button, self.best_button, self.defaults_button):
            button.setEnabled(front is not None)
        if front is None:
            for item in (self._tried, self._members, self._defaults, self._knee, self._ring):
                item.setData([], [])
            self._line.setData([], [])
            self.details.setText("Press <i>Tune</i> in the Tune panel: the front grows here.")
        else:
            self._draw(front)
        self._on_session_chosen()

    def _draw(self, front: Front) -> None:
        x, y = self._xy(front)
        members = front.members[np.argsort(x[front.members], kind="stable")]
        self._tried.setData(x, y)
        self._members.setData(x[members], y[members], data=members)
        # With a third goal the members do not lie on one line.
        line = members if len(front.goal.used) == 2 else members[:0]
        self._line.setData(x[line], y[line])
        self._knee.setData([x[front.knee]], [y[front.knee]])
        if front.defaults is not None:
            self._defaults.setData([x[front.defaults]], [y[front.defaults]])

    def _xy(self, front: Front) -> tuple[Any, Any]:
        axes = []
        for box, side in ((self.x_box, "bottom"), (self.y_box, "left")):
            k = box.currentIndex()
            used = front.goal.used
            n = len(front.evaluations)
            axes.append(front.points[:, used.index(k)] if k in used else np.zeros(n))
            self.plot.setLabel(side, OBJECTIVES[k])
        return axes[0], axes[1]

    def _on_session_chosen(self, *_: Any) -> None:
        session = self.desk.session
        front, chosen = session.front, session.chosen
        if front is None:
            return
        if chosen is None or chosen >= len(front.evaluations):
            self._ring.setData([], [])
            self.details.setText(
                "Click a point of the front to see its objects; ← → walk along it."
            )
            return
        x, y = self._xy(front)
        self._ring.setData([x[chosen]], [y[chosen]])
        self.details.setText(_describe(front, chosen))

    def _paint_theme(self, *_: Any) -> None:
        theme = get_theme(self._viewer.theme)
        back, text = theme.background.as_hex(), theme.text.as_hex()
        quiet = QColor(text)
        quiet.setAlpha(80)
        self.plot.setBackground(back)
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.setPen(pg.mkPen(quiet))
            axis.setTextPen(pg.mkPen(text))
        self._tried.setBrush(pg.mkBrush(quiet))
        self._line.setPen(pg.mkPen(QColor(ACCENT), width=1.5))
        self._members.setBrush(pg.mkBrush(ACCENT))
        self._members.setPen(pg.mkPen(back))
        self._defaults.setBrush(pg.mkBrush(DEFAULTS))
        self._defaults.setPen(pg.mkPen(back))
        self._knee.setBrush(pg.mkBrush(KNEE))
        self._knee.setPen(pg.mkPen(back))
        self._ring.setPen(pg.mkPen(text, width=2))
        self.plot.plotItem.legend.setLabelTextColor(text)


class _Plot(pg.PlotWidget):
    def sizeHint(self) -> QSize:
        """Return the least it needs: it grows into what the other rows leave."""
        return self.minimumSize()


def _describe(front: Front, position: int) -> str:
    """Return the settings and outcome of one evaluation, as HTML."""
    evaluation = front.evaluations[position]
    goals = zip(front.goal.names, front.points[position], strict=True)
    scores = ", ".join(f"{name} {value:.2f}" for name, value in goals)
    cells = [
        f"<td>{s.label}</td><td align='right'>&nbsp;{getattr(evaluation.config, name):.4g}</td>"
        for name, s in SETTINGS.items()
        if _matters(evaluation.config, name)
    ]
    gap = "<td>&nbsp;&nbsp;&nbsp;</td>"
    rows = "".join(f"<tr>{gap.join(cells[k : k + 2])}</tr>" for k in range(0, len(cells), 2))
    return f"<b>{evaluation.n_masks} objects</b>: {scores}<table>{rows}</table>"


def _matters(config: Any, name: str) -> bool:
    """Return whether a setting has any effect: crops' settings have none without crops."""
    if getattr(config, name) is None:
        return False
    return config.crop_n_layers > 0 or not name.startswith("crop_")

"""The plots of the Pareto front panel, in napari's colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from napari.utils.theme import get_theme
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QSizePolicy

from napari_samstar.widgets.panels.front.spots import Spots

if TYPE_CHECKING:
    from napari_samstar.core.tuning.front import Front

ACCENT = "#f2a03d"
DEFAULTS = "#4fb0c6"
KNEE = "#8ac926"
BEST = "#d36ba6"

AXIS = 42  # px; pyqtgraph leaves too little for the name below the numbers
BELOW = 7  # px; it draws that name partly below the axis
MARGIN = 8  # px, around the legend
CORNERS = ((1, 1), (0, 1), (1, 0), (0, 0))  # right or left, below or above
LEAST_SPAN = 0.05  # of objectives from 0 to 1; below it differences are noise
RARE = 0.15  # share of the points that may lie outside of the first view


class FrontPlot(pg.PlotWidget):
    """Every evaluation as a point; those of the front can be clicked.

    Signals
    -------
    picked : (int, bool)
        Position of the evaluation that was clicked, and whether Shift was held.
    hovered : int
        Position of the evaluation under the mouse, -1 where there is none.
    """

    picked = Signal(int, bool)
    hovered = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(260, 170)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMenuEnabled(False)
        self.hideButtons()
        for side in ("left", "bottom"):
            self.getAxis(side).enableAutoSIPrefix(False)
        self.getAxis("bottom").setHeight(AXIS)
        self.plotItem.layout.setContentsMargins(1, 1, 1, BELOW)
        self._zoomed = False
        self.getViewBox().sigRangeChangedManually.connect(self._on_zoomed)
        self._corner = CORNERS[0]
        self.addLegend(offset=(-MARGIN, -MARGIN), labelTextSize="8pt", verSpacing=-6)
        self.tried = pg.ScatterPlotItem(size=5, pen=None, name="tried")
        self.line = pg.PlotDataItem(connect="all")
        self.members = pg.ScatterPlotItem(size=10, name="Pareto front")
        self.defaults = pg.ScatterPlotItem(size=15, symbol="star", name="SAM's defaults")
        self.knee = pg.ScatterPlotItem(size=19, symbol="d", name="knee")
        self.best = pg.ScatterPlotItem(size=10, symbol="t1", name="best for the weights")
        self.other = pg.ScatterPlotItem(size=22, brush=None)
        self.ring = pg.ScatterPlotItem(size=20, brush=None, name="on show")
        self.halo = pg.ScatterPlotItem(size=14, brush=None)
        for item in (self.tried, self.line, self.members, self.defaults, self.knee, self.best,
                     self.other, self.ring, self.halo):  # fmt: skip
            self.addItem(item)
        self._spots = Spots()
        self._under = -1
        self.scene().sigMouseClicked.connect(self._on_clicked)
        self.scene().sigMouseMoved.connect(self._on_moved)

    def sizeHint(self) -> QSize:
        """Return the least it needs: it grows into what the other rows leave."""
        return self.minimumSize()

    def draw(self, front: Front, x: Any, y: Any, *, lined: bool) -> None:
        """Show `front` with its evaluations at (x, y); `lined` joins its members."""
        members = front.members[np.argsort(x[front.members], kind="stable")]
        self.tried.setData(x, y, data=np.arange(len(x)))
        self.members.setData(x[members], y[members], data=members)
        line = members if lined else members[:0]
        self.line.setData(x[line], y[line])
        for item, at in ((self.knee, front.knee), (self.best, front.best)):
            item.setData([x[at]], [y[at]], data=[at])
        vanilla = [] if front.defaults is None else [front.defaults]
        self.defaults.setData(x[vanilla], y[vanilla], data=vanilla)
        self._spots = Spots(x, y, (front.members, [front.knee, front.best, *vanilla]))
        self._point_at(-1)
        self._frame(x, y, [*front.members.tolist(), *vanilla])
        self._place_legend(x, y, [front.knee, front.best, *vanilla])

    def _place_legend(self, x: Any, y: Any, named: list[int]) -> None:
        """Put the legend into the corner where it hides least, above all none that it names."""
        view, legend = self.getViewBox(), self.plotItem.legend
        (left, right), (bottom, top) = view.viewRange()
        across, up = (x - left) / (right - left), (y - bottom) / (top - bottom)
        seen = (across >= 0) & (across <= 1) & (up >= 0) & (up <= 1)
        wide, high = legend.width() / view.width(), legend.height() / view.height()

        def hidden(corner: tuple[int, int]) -> int:
            over = seen & ((across > 1 - wide) if corner[0] else (across < wide))
            over &= (up < high) if corner[1] else (up > 1 - high)
            return int(over.sum() + len(x) * over[named].sum())

        best = min(CORNERS, key=hidden)
        # It stays where it is unless that is much worse: while a front grows it would jump about.
        if 2 * hidden(best) < hidden(self._corner):
            self._corner = best
            offset = tuple(-MARGIN if side else MARGIN for side in best)
            legend.anchor(itemPos=best, parentPos=best, offset=offset)

    def _frame(self, x: Any, y: Any, matters: list[int]) -> None:
        """Look at the front, the defaults and most of the rest, unless the user zoomed.

        A few hopeless settings would otherwise squeeze all that matters into a corner.
        """
        if self._zoomed:
            return
        for values, axis in ((x, "xRange"), (y, "yRange")):
            low = min(np.quantile(values, RARE), values[matters].min())
            span = values.max() - low
            room = max(0.08 * span, (LEAST_SPAN - span) / 2)
            limits = (float(low - room), float(values.max() + room))
            self.plotItem.setRange(**{axis: limits}, padding=0)

    def _on_zoomed(self, *_: Any) -> None:
        self._zoomed = True

    def empty(self) -> None:
        """Show nothing."""
        self._zoomed = False
        for item in (self.tried, self.members, self.defaults, self.knee, self.best, self.ring,
                     self.other):  # fmt: skip
            item.setData([], [])
        self.line.setData([], [])
        self._spots = Spots()
        self._point_at(-1)

    def mark(self, item: pg.ScatterPlotItem, x: Any, y: Any, position: int | None) -> None:
        """Put the ring `item` around one evaluation, or nowhere."""
        if position is None:
            item.setData([], [])
        else:
            item.setData([x[position]], [y[position]])

    def paint(self, theme_name: str) -> None:
        """Take over the colours of a napari theme."""
        back, text, quiet = colours(theme_name)
        paint_axes(self, theme_name)
        self.tried.setBrush(pg.mkBrush(quiet))
        self.line.setPen(pg.mkPen(QColor(ACCENT), width=1.5))
        for item, colour in (
            (self.members, ACCENT),
            (self.defaults, DEFAULTS),
            (self.knee, KNEE),
            (self.best, BEST),
        ):
            item.setBrush(pg.mkBrush(colour))
            item.setPen(pg.mkPen(back))
        self.ring.setPen(pg.mkPen(text, width=2))
        self.other.setPen(pg.mkPen(text, width=1, style=Qt.PenStyle.DashLine))
        self.halo.setPen(pg.mkPen(text, width=1))
        for _, label in self.plotItem.legend.items:
            label.setText(label.text, color=text)

    def leaveEvent(self, event: Any) -> None:
        """Point at nothing any more."""
        super().leaveEvent(event)
        self._point_at(-1)

    def _on_clicked(self, event: Any) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        position = self._spots.nearest(self.getViewBox(), event.scenePos())
        if position >= 0:
            shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self.picked.emit(position, shift)

    def _on_moved(self, at: Any) -> None:
        position = self._spots.nearest(self.getViewBox(), at)
        if position != self._under:
            self._point_at(position)

    def _point_at(self, position: int) -> None:
        self._under = position
        self.mark(self.halo, self._spots.x, self._spots.y, position if position >= 0 else None)
        self.hovered.emit(position)


class CurvePlot(pg.PlotWidget):
    """How the hypervolume of the front grew from generation to generation."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(120)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setMouseEnabled(x=False, y=False)
        for side in ("left", "bottom"):
            self.getAxis(side).enableAutoSIPrefix(False)
        self.setLabel("left", "hypervolume")
        self.setLabel("bottom", "generation")
        self.curve = pg.PlotDataItem(symbol="o", symbolSize=4)
        self.addItem(self.curve)

    def paint(self, theme_name: str) -> None:
        """Take over the colours of a napari theme."""
        paint_axes(self, theme_name)
        self.curve.setPen(pg.mkPen(QColor(ACCENT), width=1.5))
        self.curve.setSymbolBrush(pg.mkBrush(ACCENT))
        self.curve.setSymbolPen(None)


def paint_axes(plot: pg.PlotWidget, theme_name: str) -> None:
    """Give a plot's background and axes the colours of a napari theme."""
    back, text, quiet = colours(theme_name)
    plot.setBackground(back)
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.setPen(pg.mkPen(quiet))
        axis.setTextPen(pg.mkPen(text))


def colours(theme_name: str) -> tuple[str, str, QColor]:
    """Return background, text and grid colours of a napari theme."""
    theme = get_theme(theme_name)
    quiet = QColor(theme.text.as_hex())
    quiet.setAlpha(80)
    return theme.background.as_hex(), theme.text.as_hex(), quiet

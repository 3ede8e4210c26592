"""Plots of the Pareto front panel, in the colours of napari's theme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QSizePolicy

from napari_samstar.widgets.panels.front.point_picker import PointPicker
from napari_samstar.widgets.shell.plot_theme import ACCENT, apply_axes_theme, theme_colours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.core.tuning.front import Front

    Values = NDArray[np.float64]

DEFAULTS_COLOUR = "#4fb0c6"
KNEE_COLOUR = "#8ac926"
BEST_COLOUR = "#d36ba6"

MAX_HEIGHT = 420  # px; a higher plot would be a narrow strip
AXIS_HEIGHT = 42  # px; pyqtgraph's default is too small for numbers and label
BOTTOM_MARGIN = 7  # px; pyqtgraph draws the label partly below the axis
LEGEND_MARGIN = 8  # px
CORNERS = ((1, 1), (0, 1), (1, 0), (0, 0))  # (is right, is bottom)
MIN_SPAN = 0.05  # of an axis, in units of an objective; smaller differences are noise
MAX_OUTSIDE = 0.15  # share of the trials that may be outside of the first view


class FrontPlot(pg.PlotWidget):
    """Shows each trial as a point that can be clicked.

    Signals
    -------
    picked : (int, bool)
        Position of the clicked trial, and whether Shift was held.
    hovered : int
        Position of the trial under the mouse, -1 where there is none.
    stepped : int
        1 or -1, for an arrow key: the next member of the front, or the one before.
    """

    picked = Signal(int, bool)
    hovered = Signal(int)
    stepped = Signal(int)

    # x, y and named points; here, because a widget may be resized while it is made
    _drawn: tuple[Values, Values, list[int]] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(260, 170)
        self.setMaximumHeight(MAX_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMenuEnabled(False)
        self.hideButtons()
        for side in ("left", "bottom"):
            self.getAxis(side).enableAutoSIPrefix(False)
        self.getAxis("bottom").setHeight(AXIS_HEIGHT)
        self.plotItem.layout.setContentsMargins(1, 1, 1, BOTTOM_MARGIN)
        self._is_zoomed = False
        self.getViewBox().sigRangeChangedManually.connect(self._on_zoomed)
        self._corner = CORNERS[0]
        self.addLegend(offset=(-LEGEND_MARGIN, -LEGEND_MARGIN), labelTextSize="8pt", verSpacing=-6)
        self.tried = pg.ScatterPlotItem(size=5, pen=None, name="tried")
        self.line = pg.PlotDataItem(connect="all")
        self.members = pg.ScatterPlotItem(size=10, name="Pareto front")
        self.defaults = pg.ScatterPlotItem(size=15, symbol="star", name="SAM's defaults")
        self.knee = pg.ScatterPlotItem(size=19, symbol="d", name="knee")
        self.best = pg.ScatterPlotItem(size=10, symbol="t1", name="best")
        self.compared_ring = pg.ScatterPlotItem(size=22, brush=None)
        self.chosen_ring = pg.ScatterPlotItem(size=20, brush=None, name="chosen")
        self.hover_ring = pg.ScatterPlotItem(size=14, brush=None)
        for item in (self.tried, self.line, self.members, self.defaults, self.knee, self.best,
                     self.compared_ring, self.chosen_ring, self.hover_ring):  # fmt: skip
            self.addItem(item)
        self._picker = PointPicker()
        self._hovered = -1
        self.scene().sigMouseClicked.connect(self._on_clicked)
        self.scene().sigMouseMoved.connect(self._on_moved)

    def sizeHint(self) -> QSize:
        """Return the minimum size: the plot takes the height that other rows leave."""
        return self.minimumSize()

    def draw(self, front: Front, x: Values, y: Values, *, connect_members: bool) -> None:
        """Show all trials of `front` at (x, y), each of shape (n,).

        Parameters
        ----------
        connect_members : bool
            Whether a line connects the members of the front.
        """
        members = front.members[np.argsort(x[front.members], kind="stable")]
        self.tried.setData(x, y, data=np.arange(len(x)))
        self.members.setData(x[members], y[members], data=members)
        line = members if connect_members else members[:0]
        self.line.setData(x[line], y[line])
        for item, k in ((self.knee, front.knee), (self.best, front.best)):
            item.setData([x[k]], [y[k]], data=[k])
        defaults = [] if front.defaults is None else [front.defaults]
        self.defaults.setData(x[defaults], y[defaults], data=defaults)
        named = [front.knee, front.best, *defaults]
        self._picker = PointPicker(x, y, (front.members, named))
        self._set_hovered(-1)
        self._set_view(x, y, [*front.members.tolist(), *defaults])
        self._drawn = (x, y, named)
        self._place_legend(x, y, named)

    def resizeEvent(self, event: Any) -> None:
        """Look for another corner for the legend, which covers more of a smaller plot."""
        super().resizeEvent(event)
        if self._drawn is not None:
            self._place_legend(*self._drawn)

    def _set_view(self, x: Values, y: Values, important: list[int]) -> None:
        """Show the important points and most of the others, unless the user zoomed.

        Otherwise a few bad trials would squeeze the rest into a corner.
        """
        if self._is_zoomed:
            return
        for values, axis in ((x, "xRange"), (y, "yRange")):
            low = min(np.quantile(values, MAX_OUTSIDE), values[important].min())
            span = values.max() - low
            margin = max(0.08 * span, (MIN_SPAN - span) / 2)
            limits = (float(low - margin), float(values.max() + margin))
            self.plotItem.setRange(**{axis: limits}, padding=0)

    def _place_legend(self, x: Values, y: Values, named: list[int]) -> None:
        """Move the legend to the corner where it hides the fewest points, and no named ones."""
        view, legend = self.getViewBox(), self.plotItem.legend
        (left, right), (bottom, top) = view.viewRange()
        across, up = (x - left) / (right - left), (y - bottom) / (top - bottom)
        visible = (across >= 0) & (across <= 1) & (up >= 0) & (up <= 1)
        width = (legend.width() + LEGEND_MARGIN) / view.width()
        height = (legend.height() + LEGEND_MARGIN) / view.height()

        def n_hidden(corner: tuple[int, int]) -> int:
            hidden = visible & ((across > 1 - width) if corner[0] else (across < width))
            hidden &= (up < height) if corner[1] else (up > 1 - height)
            return int(hidden.sum() + len(x) * hidden[named].sum())

        best = min(CORNERS, key=n_hidden)
        # Stay unless the best corner is much better: the legend should not jump during a search
        if 2 * n_hidden(best) < n_hidden(self._corner):
            self._corner = best
            offset = tuple(-LEGEND_MARGIN if side else LEGEND_MARGIN for side in best)
            legend.anchor(itemPos=best, parentPos=best, offset=offset)

    def _on_zoomed(self, *_: Any) -> None:
        self._is_zoomed = True

    def empty(self) -> None:
        """Remove all points and reset the zoom."""
        self._is_zoomed = False
        self._drawn = None
        for item in (self.tried, self.members, self.defaults, self.knee, self.best,
                     self.chosen_ring, self.compared_ring):  # fmt: skip
            item.setData([], [])
        self.line.setData([], [])
        self._picker = PointPicker()
        self._set_hovered(-1)

    def mark(self, item: pg.ScatterPlotItem, x: Values, y: Values, position: int | None) -> None:
        """Move the ring `item` to a trial, or hide it."""
        if position is None:
            item.setData([], [])
        else:
            item.setData([x[position]], [y[position]])

    def apply_theme(self, theme_name: str) -> None:
        """Apply the colours of a napari theme."""
        background, text, grid = theme_colours(theme_name)
        apply_axes_theme(self, theme_name)
        self.tried.setBrush(pg.mkBrush(grid))
        self.line.setPen(pg.mkPen(QColor(ACCENT), width=1.5))
        for item, colour in (
            (self.members, ACCENT),
            (self.defaults, DEFAULTS_COLOUR),
            (self.knee, KNEE_COLOUR),
            (self.best, BEST_COLOUR),
        ):
            item.setBrush(pg.mkBrush(colour))
            item.setPen(pg.mkPen(background))
        self.chosen_ring.setPen(pg.mkPen(text, width=2))
        self.compared_ring.setPen(pg.mkPen(text, width=1, style=Qt.PenStyle.DashLine))
        self.hover_ring.setPen(pg.mkPen(text, width=1))
        for _, label in self.plotItem.legend.items:
            label.setText(label.text, color=text)

    def keyPressEvent(self, event: Any) -> None:
        """Step along the front with the arrow keys."""
        keys = Qt.Key
        step = {keys.Key_Left: -1, keys.Key_Down: -1, keys.Key_Right: 1, keys.Key_Up: 1}.get(
            event.key()
        )
        if step is None:
            super().keyPressEvent(event)
        else:
            self.stepped.emit(step)

    def leaveEvent(self, event: Any) -> None:
        """Hover over no point."""
        super().leaveEvent(event)
        self._set_hovered(-1)

    def _on_clicked(self, event: Any) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        position = self._picker.nearest(self.getViewBox(), event.scenePos())
        if position >= 0:
            shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self.picked.emit(position, shift)

    def _on_moved(self, at: Any) -> None:
        position = self._picker.nearest(self.getViewBox(), at)
        if position != self._hovered:
            self._set_hovered(position)

    def _set_hovered(self, position: int) -> None:
        self._hovered = position
        self.mark(
            self.hover_ring, self._picker.x, self._picker.y, position if position >= 0 else None
        )
        self.hovered.emit(position)


class CurvePlot(pg.PlotWidget):
    """Hypervolume of the front against the generation."""

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

    def apply_theme(self, theme_name: str) -> None:
        """Apply the colours of a napari theme."""
        apply_axes_theme(self, theme_name)
        self.curve.setPen(pg.mkPen(QColor(ACCENT), width=1.5))
        self.curve.setSymbolBrush(pg.mkBrush(ACCENT))
        self.curve.setSymbolPen(None)

"""Histogram of the objects' diameters, in the colours of napari's theme."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg

from napari_samstar.widgets.shell.plot_theme import ACCENT, apply_axes_theme, theme_colours

HEIGHT = 130  # px
FEW_OBJECTS = 4  # up to this height of the bars every count has a tick


class Histogram(pg.PlotWidget):
    """Histogram of the diameters of all objects, in physical units where they are known."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(HEIGHT)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setMouseEnabled(x=False, y=False)
        self.bars = pg.BarGraphItem(x=[], height=[], width=1)
        self.addItem(self.bars)
        for side in ("left", "bottom"):
            self.getAxis(side).enableAutoSIPrefix(False)
        self.setLabel("left", "objects")

    def draw(self, table: Any) -> str:
        """Show the diameters of a table of measurements; returns a summary for the user."""
        name = next((c for c in table.columns if str(c).startswith("diameter_")), None)
        values = table[name].to_numpy() if name is not None else np.empty(0)
        unit = str(name).partition("_")[2] if name is not None else "px"
        if not len(values):
            self.bars.setOpts(x=[], height=[], width=1)
            return "<b>No objects</b> in this layer."
        heights, edges = np.histogram(values, bins="auto" if len(values) > 4 else len(values))
        self.bars.setOpts(x=edges[:-1], height=heights, width=np.diff(edges), x0=edges[:-1])
        # Ticks at whole numbers only; for many objects pyqtgraph's default ticks are
        self.getAxis("left").setTickSpacing(
            *((1, 1) if heights.max() <= FEW_OBJECTS else (None, None))
        )
        self.setLabel("bottom", f"diameter ({unit})")
        self.autoRange()
        low, middle, high = np.percentile(values, [10, 50, 90])
        return (
            f"<b>{len(values)} objects</b>, median diameter {middle:.3g} {unit} "
            f"(most between {low:.3g} and {high:.3g})."
        )

    def apply_theme(self, theme_name: str) -> None:
        """Apply the colours of a napari theme."""
        apply_axes_theme(self, theme_name)
        background, _, _ = theme_colours(theme_name)
        self.bars.setOpts(brush=ACCENT, pen=pg.mkPen(background))  # gaps between bars

"""Colours of napari's theme for the plots of the panels."""

from __future__ import annotations

import pyqtgraph as pg
from napari.utils.theme import get_theme
from qtpy.QtGui import QColor

ACCENT = "#f2a03d"


def apply_axes_theme(plot: pg.PlotWidget, theme_name: str) -> None:
    """Apply the colours of a napari theme to the background and axes of a plot."""
    background, text, grid = theme_colours(theme_name)
    plot.setBackground(background)
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.setPen(pg.mkPen(grid))
        axis.setTextPen(pg.mkPen(text))


def theme_colours(theme_name: str) -> tuple[str, str, QColor]:
    """Return the background, text and grid colours of a napari theme."""
    theme = get_theme(theme_name)
    grid = QColor(theme.text.as_hex())
    grid.setAlpha(80)
    return theme.background.as_hex(), theme.text.as_hex(), grid

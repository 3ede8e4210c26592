"""SAM for microscopy in napari: physics-guided tuning, a Pareto front, clicks."""

from __future__ import annotations

__version__ = "0.1.0"

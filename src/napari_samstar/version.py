"""The version of this package, and where its files are. Imports nothing."""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0"

PACKAGE = Path(__file__).parent
"""The installed package; the bundled weights are in it."""

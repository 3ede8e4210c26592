"""Reader of recipe files that are dropped on napari."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.utils.notifications import show_error, show_info

from napari_samstar.core.errors import UserError
from napari_samstar.core.results.recipe import SUFFIX, Recipe
from napari_samstar.widgets.shell.docking import open_page
from napari_samstar.widgets.viewer.controller import controller_of

if TYPE_CHECKING:
    from collections.abc import Callable

LayerData = list[tuple[None]]


def recipe_reader(path: str | list[str]) -> Callable[[Any], LayerData] | None:
    """Return the reader of a `*.samstar.json` file, None for any other file."""
    if isinstance(path, list) or not str(path).endswith(SUFFIX):
        return None
    return _load


def _load(path: str | list[str]) -> LayerData:
    """Set the panels of the current viewer as in the recipe; adds no layer."""
    viewer = napari.current_viewer()
    if viewer is not None:
        try:
            recipe = Recipe.load(str(path))
        except UserError as error:
            show_error(str(error))
            return [(None,)]
        open_page(viewer, "Segment")
        controller_of(viewer).load(recipe)
        show_info(f"Recipe {Path(str(path)).name} loaded: press Segment.")
    return [(None,)]

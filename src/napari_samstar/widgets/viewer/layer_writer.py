"""Adds and changes the plugin's napari layers; changes of the user's layers can be undone."""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils import DirectLabelColormap
from napari.utils.transforms import Affine
from psygnal import Signal

from napari_samstar.core.masks.outlines import rim
from napari_samstar.widgets.shell.garbage import gc_new_objects_only
from napari_samstar.widgets.viewer.history import Action, Edit
from napari_samstar.widgets.viewer.object_colours import by_key, by_label

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import napari
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_samstar.widgets.viewer.history import History
    from napari_samstar.widgets.viewer.layers import Placement

RECIPE_KEY = "samstar_recipe"
"""Key of the recipe in the metadata of a Labels layer."""

PREVIEW_NAME = "SAM* preview"
OUTLINE_NAME = "SAM* outline"
COMPARISON_NAME = "SAM* comparison"
TILES_NAME = "SAM* tiles"
TEMPORARY = (PREVIEW_NAME, OUTLINE_NAME, COMPARISON_NAME, TILES_NAME)
"""Layers that the plugin adds, changes and removes; all others belong to the user."""

COMPARISON_COLOURS = {1: "#8f8f8f", 2: "#f2c14e", 3: "#e0605a", 4: "#5fc36b"}
"""By the values of `Comparison.picture`: the same, changed, lost, gained."""

TILE_COLOURS = {1: "#1d2733", 2: "#8fb7e0"}
"""By the values of the grid: waiting, and the lines around it."""

OUTLINE_COLOURS = {1: "#ffffff", 2: "#3ddc61", 3: "#ff4b4b"}
"""By the values of the outline's layer: the outline, clicks that add, clicks that remove."""

OUTLINE_WIDTH = 2  # px
APPLIED_CONTOUR = 2  # px, of the applied layer's outlines below a preview
MARK_RADIUS = 4.0  # px of the screen, of a click's mark


class LayerWriter:
    """Shows temporary layers, and writes the preview into Labels layers of the user.

    Attributes
    ----------
    placement : Placement, optional
        The segmented plane.
    layer_hidden : Signal
        Emitted when `remove_hidden_layer` may have something to remove after a while.
    """

    layer_hidden = Signal()

    def __init__(self, viewer: napari.Viewer, history: History) -> None:
        self._viewer = weakref.ref(viewer)
        self._history = history
        self._applied: weakref.ref[Labels] | None = None
        self.placement: Placement | None = None
        self._outline_users: weakref.WeakSet[Any] = weakref.WeakSet()

    # --- temporary layers ---------------------------------------------------------------------

    def preview(
        self,
        labels: NDArray[np.int32],
        keys: NDArray[np.int64] | None = None,
        reveal: bool = True,
    ) -> None:
        """Show labels (H, W) in the preview layer, which is added if it is missing.

        Parameters
        ----------
        keys : ndarray of int64, shape (n,), optional
            The mask of each label, which decides about its colour.
        reveal : bool
            Whether a hidden preview is shown, above the applied layer, which then has outlines.
        """
        colormap = by_label() if keys is None else by_key(keys)
        self._update_layer(PREVIEW_NAME, labels, opacity=0.6, colormap=colormap)
        self.hide(COMPARISON_NAME, OUTLINE_NAME)
        if reveal:
            self._reveal_preview()

    def move_to(self, placement: Placement) -> None:
        """Move the temporary layers to where the plane lies now."""
        self.placement = placement
        for layer in map(self._find, (PREVIEW_NAME, COMPARISON_NAME)):
            if layer is not None and layer.ndim == len(placement.plane) + 2:
                for name, value in placement.transform.items():
                    setattr(layer, name, value)
        self.hide(OUTLINE_NAME)

    def _reveal_preview(self) -> None:
        """Show the preview above the applied layer, which is reduced to its outlines."""
        self._set_visible(PREVIEW_NAME, True)
        viewer, layer, applied = self._viewer(), self._find(PREVIEW_NAME), self.applied
        if viewer is None or layer is None or applied is None:
            return
        if viewer.layers.index(layer) < viewer.layers.index(applied):
            viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(applied) + 1)
        if not applied.contour:
            applied.contour = APPLIED_CONTOUR

    def _fill_applied(self) -> None:
        """Show the applied layer filled again, where `_reveal_preview` drew its outlines."""
        applied = self.applied
        if applied is not None and applied.contour == APPLIED_CONTOUR:
            applied.contour = 0

    def fill(self, shape: tuple[int, int]) -> None:
        """Show an empty preview of an image (H, W), to be filled tile by tile."""
        layer = self._find(PREVIEW_NAME)
        known = layer is not None and layer.data.shape[-2:] == shape
        if not known or layer is None or not np.any(layer.data):
            self.preview(np.zeros(shape, dtype=np.int32))

    def fill_tile(self, box: tuple[int, int, int, int], labels: NDArray[np.int32]) -> None:
        """Show labels in a box (x0, y0, x1, y1) of the preview."""
        layer = self._find(PREVIEW_NAME)
        if layer is None:
            return
        rows, cols = np.nonzero(labels)
        ahead = [np.zeros_like(rows)] * (layer.ndim - 2)
        layer.data_setitem((*ahead, rows + box[1], cols + box[0]), labels[rows, cols])

    def tiles(self, grid: NDArray[np.uint8] | None, step: int) -> None:
        """Show a coarse picture (h, w) of the tiles that wait; None removes it.

        Parameters
        ----------
        step : int
            px of the image for each px of `grid`.
        """
        viewer, placement = self._viewer(), self.placement
        layer = self._find(TILES_NAME)
        if grid is None or viewer is None or placement is None:
            if layer is not None:
                self._remove_from_viewer(layer)
            return
        at = placement.coarser(step)
        self._update_layer(TILES_NAME, grid, at, opacity=0.45, colormap=_colormap(TILE_COLOURS))

    def compare(self, picture: NDArray[np.uint8]) -> None:
        """Show a `Comparison.picture` (H, W) instead of the preview."""
        colormap = _colormap(COMPARISON_COLOURS)
        self._update_layer(COMPARISON_NAME, picture, opacity=0.7, colormap=colormap)
        self._set_visible(COMPARISON_NAME, True)
        self._set_visible(PREVIEW_NAME, False)

    def outline(
        self,
        mask: NDArray[np.bool_] | None,
        at: Placement | None = None,
        origin: tuple[int, int] = (0, 0),
        clicks: Sequence[tuple[int, int, bool]] = (),
    ) -> None:
        """Show the outline of a mask (h, w) on top of all layers; None hides it.

        Parameters
        ----------
        mask : bool ndarray of shape (h, w), optional
        at : Placement, optional
            Plane of the outline; the segmented plane by default.
        origin : (row, col)
            First pixel of the mask, px of the plane; its border is drawn as an edge.
        clicks : sequence of (row, col, bool)
            px of the plane, and whether the click adds; each is marked.
        """
        if mask is None:
            self.hide(OUTLINE_NAME)
            return
        at = at or self.placement
        if at is not None:
            at = _shifted(at, origin)
            self._move_outline(mask.shape, at)
        # Faster than napari's own contour, which takes longer than all other work of a click.
        line = rim(mask, OUTLINE_WIDTH).astype(np.uint8)
        for row, col, adds in clicks:
            _mark(line, row - origin[0], col - origin[1], 2 if adds else 3, self._mark_radius(at))
        colormap = _colormap(OUTLINE_COLOURS)
        self._update_layer(OUTLINE_NAME, line, at, opacity=1, colormap=colormap)
        self._set_visible(OUTLINE_NAME, True)

    def _mark_radius(self, at: Placement | None) -> float:
        """Return the radius of a click's mark, px of the plane: about the same on the screen."""
        viewer = self._viewer()
        if viewer is None or at is None:
            return 1.0
        camera = getattr(viewer, "scene", viewer).camera
        on_screen = float(camera.zoom) * float(np.abs(at.transform["scale"][-1]))
        return float(np.clip(MARK_RADIUS / max(on_screen, 1e-9), 0.5, 40))

    def _move_outline(self, shape: tuple[int, ...], at: Placement) -> None:
        """Move the outline's layer, if only its place is another: quicker than a new layer."""
        layer = self._find(OUTLINE_NAME)
        if layer is None or layer.data.shape[-2:] != shape or at.matches(layer):
            return
        translate = at.transform["translate"]
        if layer.ndim == len(translate):
            layer.translate = translate

    @property
    def preview_layer(self) -> Labels | None:
        """The layer of the objects on show, None where there is none."""
        return self._find(PREVIEW_NAME)

    def toggle_overlay(self) -> None:
        """Hide the objects, or show them again: the preview, or else the applied layer."""
        layer = self._on_show()
        if layer is not None:
            layer.visible = not layer.visible

    def toggle_outlines(self) -> None:
        """Show the objects as outlines, or filled."""
        layer = self._on_show()
        if layer is not None:
            layer.contour = 0 if layer.contour else OUTLINE_WIDTH

    def _on_show(self) -> Labels | None:
        """Return the layer of the objects that the user looks at."""
        preview = self._find(PREVIEW_NAME)
        if self.applied is not None and (preview is None or not preview.visible):
            return self.applied
        return preview

    def hide(self, *names: str) -> None:
        """Hide temporary layers; `remove_hidden_layer` removes them later.

        Adding a layer takes napari ten times as long as showing a hidden one, so it is kept for a
        while, and the outline as long as a panel uses it (`set_outline_user`).
        """
        for name in names:
            if self.visible_layer(name) is not None:
                self._set_visible(name, False)
                if name == COMPARISON_NAME:
                    self._set_visible(PREVIEW_NAME, True)
                self.layer_hidden.emit()

    def set_outline_user(self, panel: object, active: bool) -> None:
        """Set whether a panel shows outlines; the hidden outline layer is kept while one does."""
        if active:
            self._outline_users.add(panel)
        else:
            self._outline_users.discard(panel)
            self.layer_hidden.emit()

    def remove_hidden_layer(self) -> None:
        """Remove one hidden layer, and emit `layer_hidden` because there may be another."""
        names = (COMPARISON_NAME,) if self._outline_users else (COMPARISON_NAME, OUTLINE_NAME)
        hidden = [x for name in names if (x := self._find(name)) is not None and not x.visible]
        if hidden:
            self._remove_from_viewer(hidden[0])
            self.layer_hidden.emit()

    def remove_temporary_layers(self) -> None:
        """Remove all temporary layers."""
        viewer = self._viewer()
        for layer in [self._find(name) for name in TEMPORARY]:
            if layer is not None and viewer is not None:
                viewer.layers.remove(layer)

    def visible_layer(self, name: str) -> Labels | None:
        """Return a temporary layer if it is visible, else None."""
        layer = self._find(name)
        return layer if layer is not None and layer.visible else None

    def _find(self, name: str) -> Labels | None:
        viewer = self._viewer()
        if viewer is None:
            return None
        found = [x for x in viewer.layers if isinstance(x, Labels) and x.name == name]
        return found[0] if found else None

    def _update_layer(
        self, name: str, labels: NDArray[Any], at: Placement | None = None, **style: Any
    ) -> None:
        """Set the labels of a temporary layer; replace it if its shape or position differs."""
        viewer, placement = self._viewer(), at or self.placement
        if viewer is None or placement is None:
            return
        data = placement.expand(labels)
        layer = self._find(name)
        if layer is not None and layer.data.shape == data.shape and placement.matches(layer):
            if "colormap" in style:
                layer.colormap = style["colormap"]
            layer.data = data
            return
        if layer is not None:
            viewer.layers.remove(layer)
        layer = Labels(data, name=name, **style, **placement.transform)
        layer.editable = False
        selected = viewer.layers.selection.active
        viewer.add_layer(layer)
        if selected is not None:
            viewer.layers.selection.active = selected  # adding a layer selects it

    def _set_visible(self, name: str, visible: bool) -> None:
        layer = self._find(name)
        if layer is not None and layer.visible != visible:
            layer.visible = visible

    # --- layers of the user -------------------------------------------------------------------

    @property
    def applied(self) -> Labels | None:
        """The layer that `apply` wrote last, None if it is not in the viewer."""
        layer = self._applied() if self._applied is not None else None
        return layer if layer is not None and self.contains(layer) else None

    def replaceable(self) -> list[Labels]:
        """Return the user's Labels layers that have the shape of the preview."""
        viewer, placement = self._viewer(), self.placement
        if viewer is None or placement is None:
            return []
        preview = self._find(PREVIEW_NAME)
        return [
            x
            for x in reversed(viewer.layers)
            if isinstance(x, Labels)
            and x.name not in TEMPORARY
            and preview is not None
            and x.data.shape == preview.data.shape
        ]

    def apply(
        self,
        labels: NDArray[np.int32],
        recipe: dict[str, Any],
        into: Labels | None = None,
        keys: NDArray[np.int64] | None = None,
    ) -> Labels | None:
        """Add a Labels layer with the recipe in its metadata, or replace the objects of `into`.

        Both can be undone. Returns the layer, None if there is no segmented plane.

        Parameters
        ----------
        labels : int32 ndarray of shape (H, W)
        recipe : dict
        into : Labels, optional
            Ignored if its shape is not that of the plane.
        keys : ndarray of int64, shape (n,), optional
            As of `preview`: the objects keep their colours.
        """
        placement = self.placement
        if self._viewer() is None or placement is None:
            return None
        if into is not None and into.data.shape == placement.expand(labels).shape:
            self._replace(into, placement.expand(labels), recipe)
            layer = into
        else:
            layer = Labels(
                placement.expand(labels).copy(),
                name=f"{placement.name} objects",
                metadata={RECIPE_KEY: recipe},
                colormap=by_label() if keys is None else by_key(keys),
                **placement.transform,
            )
            # Before it is added: panels then see the new layer as the applied one.
            self._applied = weakref.ref(layer)
            self.add(layer, f"Apply to {layer.name}")
        self._set_visible(PREVIEW_NAME, False)
        self._applied = weakref.ref(layer)
        self._fill_applied()
        return layer

    def contains(self, layer: Layer) -> bool:
        """Return whether `layer` is in the viewer."""
        viewer = self._viewer()
        return viewer is not None and layer in viewer.layers

    def add(self, layer: Labels, text: str) -> None:
        """Add a layer as an action that can be undone and redone; `text` names the action."""
        self._history.do(Action(text, partial(self._insert, layer), partial(self._remove, layer)))

    def paint_pinned(
        self, mask: NDArray[np.bool_], place: tuple[int, ...], pinned: dict[str, Any]
    ) -> Action | None:
        """Return the action that adds a pinned object to the applied layer; it is not done yet.

        Parameters
        ----------
        mask : bool ndarray of shape (h, w)
        place : (row, col)
            Of the mask's upper left pixel in the plane.
        pinned : dict
            The object, for the recipe of the layer.

        Returns
        -------
        Action or None
            None if there is no applied layer.
        """
        layer, placement = self.applied, self.placement
        if layer is None or placement is None:
            return None
        *ahead, rows, cols = np.nonzero(placement.expand(mask))
        where = (*ahead, rows + place[0], cols + place[1])
        edit = Edit.of(layer, where, int(layer.data.max()) + 1)
        recipe = layer.metadata.get(RECIPE_KEY, {})
        known = {"pinned": [*recipe.get("pinned", ()), pinned]}
        return _with_recipe(layer, edit, recipe | known)

    def _replace(self, layer: Labels, data: NDArray[Any], recipe: dict[str, Any]) -> None:
        where = np.nonzero(np.asarray(layer.data) != data)
        edit = Edit.of(layer, where, data[where])
        self._history.do(_with_recipe(layer, edit, recipe, f"Replace the objects of {layer.name}"))

    def _insert(self, layer: Layer) -> None:
        viewer = self._viewer()
        if viewer is not None and layer not in viewer.layers:
            viewer.add_layer(layer)
            self._set_visible(PREVIEW_NAME, False)

    def _remove(self, layer: Layer) -> None:
        if self._remove_from_viewer(layer):
            self._reveal_preview()

    def _remove_from_viewer(self, layer: Layer) -> bool:
        """Remove a layer; returns whether it was in the viewer."""
        viewer = self._viewer()
        if viewer is None or layer not in viewer.layers:
            return False
        with gc_new_objects_only():
            viewer.layers.remove(layer)
        return True


def _mark(line: NDArray[np.uint8], row: int, col: int, value: int, radius: float) -> None:
    """Draw a filled circle into a picture (h, w); outside of it nothing is drawn."""
    reach = int(radius) + 1
    r0, c0 = max(row - reach, 0), max(col - reach, 0)
    part = line[r0 : max(row + reach + 1, 0), c0 : max(col + reach + 1, 0)]
    rows, cols = np.indices(part.shape)
    part[np.hypot(rows + r0 - row, cols + c0 - col) <= radius] = value


def _shifted(placement: Placement, origin: tuple[int, int]) -> Placement:
    """Return the placement of a part of the plane whose first pixel is `origin` (row, col)."""
    if not any(origin):
        return placement
    own = placement.transform
    linear = Affine(
        scale=own["scale"],
        rotate=own["rotate"],
        shear=own["shear"],
        ndim=len(placement.plane) + 2,
    ).linear_matrix
    corner = np.array([*(0 for _ in placement.plane), *origin], dtype=float)
    return replace(placement, transform=own | {"translate": own["translate"] + linear @ corner})


def _with_recipe(layer: Labels, edit: Edit, recipe: dict[str, Any], text: str = "") -> Action:
    """Return the action that applies `edit` and sets the layer's recipe."""
    reference = weakref.ref(layer)
    before = dict(layer.metadata)  # a copy: napari refills the same dict

    def change(metadata: dict[str, Any], apply: Callable[[], None]) -> None:
        target = reference()
        if target is not None:
            target.metadata = metadata
            apply()

    return Action(
        text,
        partial(change, before | {RECIPE_KEY: recipe}, edit.redo),
        partial(change, before, edit.undo),
    )


def _colormap(colours: Mapping[int, str]) -> DirectLabelColormap:
    nothing: list[int | None] = [None, 0]
    return DirectLabelColormap(color_dict=dict.fromkeys(nothing, "transparent") | dict(colours))

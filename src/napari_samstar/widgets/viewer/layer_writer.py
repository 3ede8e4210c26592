"""Adds and changes the plugin's napari layers; every change of the user's can be undone."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils import DirectLabelColormap
from psygnal import Signal

from napari_samstar.core.masks.outlines import rim
from napari_samstar.widgets.shell.garbage import gc_new_objects_only
from napari_samstar.widgets.viewer.history import Action, Edit

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_samstar.widgets.viewer.history import History
    from napari_samstar.widgets.viewer.layers import Placement

RECIPE_KEY = "samstar_recipe"
"""Under this key a Labels layer's metadata holds its recipe."""

PREVIEW_NAME = "SAM* preview"
OUTLINE_NAME = "SAM* outline"
COMPARISON_NAME = "SAM* comparison"
TEMPORARY = (PREVIEW_NAME, OUTLINE_NAME, COMPARISON_NAME)
"""Layers that the plugin replaces as it likes; all others are the user's."""

COLOURS = {1: "#8f8f8f", 2: "#f2c14e", 3: "#e0605a", 4: "#5fc36b"}
"""Of a comparison: the same, changed, lost, gained."""

OUTLINE_COLOUR = "#ffffff"
OUTLINE_WIDTH = 2  # px


class LayerWriter:
    """Shows temporary layers, and turns the preview into a Labels layer of the user's own.

    `hidden` is emitted when there may be a layer to `retire` after a while.
    """

    layer_hidden = Signal()

    def __init__(self, viewer: napari.Viewer, history: History) -> None:
        self._viewer = weakref.ref(viewer)
        self._history = history
        self._applied: weakref.ref[Labels] | None = None
        self.placement: Placement | None = None
        self._draws: weakref.WeakSet[Any] = weakref.WeakSet()

    # --- temporary layers ---------------------------------------------------------------------

    def preview(self, labels: NDArray[np.int32], reveal: bool = True) -> None:
        """Show labels (H, W) in the temporary layer, which is made where it is missing."""
        self._show(PREVIEW_NAME, labels, opacity=0.6)
        self.hide(COMPARISON_NAME, OUTLINE_NAME)
        if reveal:
            self._set_visible(PREVIEW_NAME, True)

    def compare(self, picture: NDArray[np.uint8]) -> None:
        """Show a `Comparison.picture` (H, W) instead of the preview."""
        self._show(COMPARISON_NAME, picture, opacity=0.7, colormap=_colours(COLOURS))
        self._set_visible(COMPARISON_NAME, True)
        self._set_visible(PREVIEW_NAME, False)

    def outline(self, mask: NDArray[np.bool_] | None, at: Placement | None = None) -> None:
        """Draw the outline of a mask (H, W) over everything; None takes it away.

        It lies on the segmented plane, unless `at` says otherwise.
        """
        if mask is None:
            self.hide(OUTLINE_NAME)
            return
        # Not napari's own contour: that takes it longer than all else that a click needs here.
        line = rim(mask, OUTLINE_WIDTH).astype(np.uint8)
        self._show(OUTLINE_NAME, line, at, opacity=1, colormap=_colours({1: OUTLINE_COLOUR}))
        self._set_visible(OUTLINE_NAME, True)

    def hide(self, *names: str) -> None:
        """Take temporary layers off the canvas, and later out of the list.

        To add one again takes napari ten times as long as to show one that is there, so it stays
        for a while, and an outline as long as a panel `draws` it.
        """
        for name in names:
            if self.visible_layer(name) is not None:
                self._set_visible(name, False)
                if name == COMPARISON_NAME:
                    self._set_visible(PREVIEW_NAME, True)
                self.layer_hidden.emit()

    def set_outline_user(self, panel: object, active: bool) -> None:
        """Note whether a panel draws outlines; without any the layer is not kept at hand."""
        if on:
            self._draws.add(who)
        else:
            self._draws.discard(who)
            self.layer_hidden.emit()

    def remove_hidden_layer(self) -> None:
        """Remove what was hidden long enough, one layer at a time."""
        names = (COMPARISON_NAME,) if self._draws else (COMPARISON_NAME, OUTLINE_NAME)
        hidden = [x for name in names if (x := self._find(name)) is not None and not x.visible]
        if hidden:
            self._take_out(hidden[0])
            self.layer_hidden.emit()

    def remove_temporary_layers(self) -> None:
        """Remove all temporary layers."""
        viewer = self._viewer()
        for layer in [self._find(name) for name in TEMPORARY]:
            if layer is not None and viewer is not None:
                viewer.layers.remove(layer)

    def visible_layer(self, name: str) -> Labels | None:
        """Return a temporary layer that is on show, None where it is not."""
        layer = self._find(name)
        return layer if layer is not None and layer.visible else None

    def _find(self, name: str) -> Labels | None:
        viewer = self._viewer()
        if viewer is None:
            return None
        found = [x for x in viewer.layers if isinstance(x, Labels) and x.name == name]
        return found[0] if found else None

    def _show(
        self, name: str, labels: NDArray[Any], at: Placement | None = None, **look: Any
    ) -> Labels | None:
        viewer, placement = self._viewer(), at or self.placement
        if viewer is None or placement is None:
            return None
        data = placement.expand(labels)
        layer = self._find(name)
        if layer is not None and layer.data.shape == data.shape and lies_at(layer, placement):
            layer.data = data
            return layer
        if layer is not None:
            viewer.layers.remove(layer)
        layer = Labels(data, name=name, **look, **placement.transform)
        layer.editable = False
        selected = viewer.layers.selection.active
        viewer.add_layer(layer)
        if selected is not None:
            viewer.layers.selection.active = selected  # the user did not ask for another layer
        return layer

    def _set_visible(self, name: str, visible: bool) -> None:
        layer = self._find(name)
        if layer is not None and layer.visible != visible:
            layer.visible = visible

    # --- layers of the user's own -------------------------------------------------------------

    @property
    def applied(self) -> Labels | None:
        """The layer that `apply` wrote last on this plane, while it is in the viewer."""
        layer = self._applied() if self._applied is not None else None
        return layer if layer is not None and self.contains(layer) else None

    def replaceable(self) -> list[Labels]:
        """Return the user's Labels layers that have the shape of the plane."""
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
        self, labels: NDArray[np.int32], recipe: dict[str, Any], into: Labels | None = None
    ) -> Labels | None:
        """Add a Labels layer that carries the recipe, or replace the objects of `into`.

        Both can be undone.
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
                **placement.transform,
            )
            self.add(layer, f"Apply to {layer.name}")
        self._set_visible(PREVIEW_NAME, False)
        self._applied = weakref.ref(layer)
        return layer

    def contains(self, layer: Layer) -> bool:
        """Return whether the viewer has `layer`."""
        viewer = self._viewer()
        return viewer is not None and layer in viewer.layers

    def add(self, layer: Labels, text: str) -> None:
        """Add a layer as a step that can be undone; undone, it is kept for a redo."""
        self._history.do(Action(text, partial(self._insert, layer), partial(self._remove, layer)))

    def paint_pinned(self, mask: NDArray[np.bool_], pinned: list[Any]) -> Action | None:
        """Return the step that paints an object (H, W) into the applied layer.

        None where there is no such layer.
        """
        layer, placement = self.applied, self.placement
        if layer is None or placement is None:
            return None
        where = np.nonzero(placement.expand(mask))
        edit = Edit.of(layer, where, int(layer.data.max()) + 1)
        recipe = layer.metadata.get(RECIPE_KEY, {})
        return _with_recipe(layer, edit, recipe | {"pinned": pinned})

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
        if self._take_out(layer):
            self._set_visible(PREVIEW_NAME, True)

    def _take_out(self, layer: Layer) -> bool:
        """Remove a layer; returns whether it was there."""
        viewer = self._viewer()
        if viewer is None or layer not in viewer.layers:
            return False
        with gc_new_objects_only():
            viewer.layers.remove(layer)
        return True


def _with_recipe(layer: Labels, edit: Edit, recipe: dict[str, Any], text: str = "") -> Action:
    """Return the step that makes `edit` and gives the layer a recipe."""
    known = weakref.ref(layer)
    before = dict(layer.metadata)  # the layer keeps one dict and refills it

    def put(metadata: dict[str, Any], change: Callable[[], None]) -> None:
        target = known()
        if target is not None:
            target.metadata = metadata
            change()

    return Action(
        text,
        partial(put, before | {RECIPE_KEY: recipe}, edit.redo),
        partial(put, before, edit.undo),
    )


def _colours(colours: Mapping[int, str]) -> DirectLabelColormap:
    nothing: list[int | None] = [None, 0]
    return DirectLabelColormap(color_dict=dict.fromkeys(nothing, "transparent") | dict(colours))


def lies_at(layer: Labels, placement: Placement) -> bool:
    """Return whether a layer lies where a plane does."""
    there = placement.transform
    return bool(
        np.allclose(layer.translate, there["translate"])
        and np.allclose(layer.scale, there["scale"])
        and np.allclose(layer.affine.affine_matrix, there["affine"])
        and np.allclose(layer.rotate, there["rotate"])
    )

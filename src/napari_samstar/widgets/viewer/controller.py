"""What belongs to a viewer, whichever panels are open: session, jobs, history, layers."""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.compat import isalive
from qtpy.QtCore import QTimer

from napari_samstar.app.session import Session
from napari_samstar.core.amg.edits import Edits, described
from napari_samstar.core.memory import release_memory
from napari_samstar.widgets.jobs.activity import Activity
from napari_samstar.widgets.jobs.jobs import Job, Jobs
from napari_samstar.widgets.jobs.workers import make_worker
from napari_samstar.widgets.shell.graphics import make_context_current_on_removal
from napari_samstar.widgets.viewer import work
from napari_samstar.widgets.viewer.autosave_controller import AutosaveController
from napari_samstar.widgets.viewer.choices import ChoiceController
from napari_samstar.widgets.viewer.history import Action, History
from napari_samstar.widgets.viewer.layer_writer import PREVIEW_NAME, RECIPE_KEY, LayerWriter
from napari_samstar.widgets.viewer.layers import (
    Placement,
    pixel_size,
    show_plane,
    shown_index,
    visible_box,
)
from napari_samstar.widgets.viewer.search import SearchController
from napari_samstar.widgets.viewer.stack_filler import LINK_KEY, StackFiller
from napari_samstar.widgets.viewer.tiles import TileController

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari
    from napari.layers import Image, Labels

    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.amg.selection import Selection
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.masks.painting import Painting
    from napari_samstar.core.models.registry import ModelChoice
    from napari_samstar.core.results.recipe import Recipe
    from napari_samstar.core.results.result import Result
    from napari_samstar.core.tuning.record import StudyRecord


SEGMENT = "Segment"
STACK = "Apply to all planes"
REMOVE_HIDDEN_AFTER = 4000  # ms after which hidden helper layers leave napari's list


class ViewerController:
    """One viewer's session and jobs. Panels come and go; the desk stays with the viewer."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = weakref.ref(viewer)
        self.session = Session()
        self.jobs = Jobs()
        self.history = History()
        self.layers = LayerWriter(viewer, self.history)
        self.autosave = AutosaveController(viewer, self.layers)
        self._removal_timer = QTimer()
        self._removal_timer.setSingleShot(True)
        self._removal_timer.setInterval(REMOVE_HIDDEN_AFTER)
        self._removal_timer.timeout.connect(self.layers.remove_hidden_layer)
        self.layers.layer_hidden.connect(self._on_hidden)
        self.tiles = TileController(self.jobs, self.layers)
        self._painted: tuple[Selection, Edits, Painting, Any] | None = None
        self.session.select_elsewhere = self._select_elsewhere
        self.session.decode_elsewhere = self._decode_elsewhere
        self.stack: StackFiller | None = None
        self.search = SearchController(self.session, self.jobs, self.cache)
        self.choices = ChoiceController(self.session)
        self._activity = Activity(self.jobs)
        self._cache: Any = None
        self._image_layer: weakref.ref[Image] | None = None
        self._wanted: weakref.ref[Image] | None = None
        events = self.session.events
        events.selection.connect(self._on_session_selection)
        events.edits.connect(self._on_session_edits)
        # After napari's own listeners: removing more layers before the canvas has let go of this
        # one leaves it drawing freed memory.
        viewer.layers.events.removed.connect(self._on_layer_removed, position="last")
        make_context_current_on_removal(viewer)
        viewer.bind_key("Control-Alt-Z", _undo, overwrite=True)
        viewer.bind_key("Control-Alt-Shift-Z", _redo, overwrite=True)

    # --- jobs ---------------------------------------------------------------------------------

    def segment(
        self,
        image: LoadedImage,
        choice: ModelChoice,
        config: AmgConfig,
        placement: Placement,
        layer: Image | None = None,
    ) -> None:
        """Start segmenting a plane of `layer` that lies at `placement`."""

        def finish(found: tuple[Result, StudyRecord | None]) -> None:
            result, earlier = found
            self.layers.placement = placement
            self._watch_image(layer)
            self.tiles.finish()
            self.session.set_result(result)
            if not self.session.trials:
                self.session.earlier = earlier

        def finish_partial(result: Result) -> None:
            finish((result, None))

        self.search.hand_over()
        self._wanted = weakref.ref(layer) if layer is not None else None
        first = visible_box(layer) if layer is not None else None
        arguments = (image, choice, config, self.cache, self.session.result, first)
        step = partial(self.tiles.show, placement)
        self.tiles.begin(choice, finish_partial)
        self.jobs.start(Job(SEGMENT, work.segment, arguments, on_step=step, on_result=finish))

    def _watch_image(self, layer: Image | None) -> None:
        """Follow the pixel size of the segmented image."""
        before = self.image_layer
        self._image_layer = weakref.ref(layer) if layer is not None else None
        if before is layer:
            return
        for each, on in ((before, False), (layer, True)):
            for event in () if each is None else (each.events.scale, each.events.units):
                if on:
                    event.connect(self._on_image_scaled)
                else:
                    event.disconnect(self._on_image_scaled)

    def _on_image_scaled(self, *_: Any) -> None:
        """Take over another pixel size: sizes are in its unit at once, and the objects stay."""
        layer, result, placement = self.image_layer, self.session.result, self.layers.placement
        if layer is None or result is None or placement is None:
            return
        size, unit = pixel_size(layer)
        image = result.bank.image
        result.bank.image = replace(image, pixel_size=size, unit=unit if size else "px")
        self.layers.move_to(Placement.of(layer, placement.plane))
        self.session.events.result.emit(result)

    def segment_stack(
        self,
        image: LoadedImage,
        planes: Sequence[tuple[int, ...]],
        whole: Labels,
        link: str = "none",
    ) -> None:
        """Start applying the settings on show to `planes`; fills the empty stack layer `whole`.

        A layer that a stopped run has begun to fill is filled instead, see `unfinished_stack`.

        Parameters
        ----------
        link : {"depth", "time", "none"}
            How objects get one id through the stack.
        """
        result, selection = self.session.result, self.session.selection
        recipe = self.session.recipe()
        if result is None or selection is None or recipe is None:
            return
        about = recipe.to_dict() | {"pinned": [], "dropped": []}
        filler, highest = self.unfinished_stack(link), 0
        if filler is not None and filler.planes == tuple(planes):
            planes, highest = filler.waiting, int(filler.layer.data.max())
        else:
            whole.metadata = {RECIPE_KEY: about}
            if link != "none":
                whole.metadata = whole.metadata | {LINK_KEY: link}
            filler = StackFiller(self.layers, whole, planes)
        self.stack = filler
        arguments = (image, planes, result.model, selection.config, self.cache, link, highest)
        self.jobs.start(Job(STACK, work.apply_to_planes, arguments, on_step=filler.write))

    def unfinished_stack(self, link: str = "none") -> StackFiller | None:
        """Return what a stopped run has begun with the settings on show, if it can go on.

        Linked planes have to be done from the first one on: there a new run begins anew.
        """
        filler, now = self.stack, self.session.recipe()
        if filler is None or link != "none" or now is None or not filler.waiting:
            return None
        recipe = filler.layer.metadata.get(RECIPE_KEY, {})
        same = recipe.get("config") == now.to_dict()["config"]
        return filler if same and self.layers.contains(filler.layer) else None

    @property
    def image_layer(self) -> Image | None:
        """The image layer that was segmented last, while it is there."""
        return self._image_layer() if self._image_layer is not None else None

    def compare(self, position: int) -> str:
        """Show what changes from the masks on show to those of another evaluation.

        Returns the counts: gained, lost, changed, the same; empty where nothing is on show.
        """
        from napari_samstar.core.amg.select import select
        from napari_samstar.core.masks.compare import compare

        session = self.session
        if session.result is None or session.selection is None:
            return ""
        bank = session.result.bank
        config = session.trials[position].config
        if not bank.has_some(config):
            return ""
        other = select(bank, config, partial=True)
        now, then = (session.edits.left(bank.masks, s.ids) for s in (session.selection, other))
        found = compare(bank.masks, now, then)
        self.layers.compare(found.picture(bank.masks))
        return found.sentence

    # --- what the user keeps ------------------------------------------------------------------

    def apply(self, into: Labels | None = None) -> Labels | None:
        """Turn the masks on show into a Labels layer that carries its recipe.

        A new layer, or the objects of `into` replaced; either can be undone.
        """
        labels, painting, recipe = self.labels(), self.painting(), self.session.recipe()
        if labels is None or painting is None or recipe is None:
            return None
        layer = self.layers.apply(labels, recipe.to_dict(), into, painting.keys)
        if layer is not None:
            self.choices.applied()
            self.measure(layer)
            self.go_to_plane()
            if self.layers.preview_layer is not None:
                self.autosave.drop_edited(self.layers.preview_layer)
        return layer

    def go_to_plane(self) -> None:
        """Show the segmented plane of a stack, where another one is on show."""
        viewer, layer, placement = self._viewer(), self.image_layer, self.layers.placement
        if viewer is None or layer is None or placement is None or not placement.plane:
            return
        if shown_index(layer, viewer) != placement.plane:
            show_plane(layer, viewer, placement.plane)

    def pin(self, mask_id: int) -> None:
        """Keep a candidate whatever the settings say: in the preview, and in the applied layer."""
        session = self.session
        if session.result is None or mask_id in session.edits.pinned:
            return
        store = session.result.bank.masks
        before, after = session.edits, session.edits.replaced((), (mask_id,))
        mask = store.window(mask_id)
        in_layer = self.layers.paint_pinned(
            mask, store[mask_id].box[:2], described(mask, *store[mask_id].box[:2])
        )
        bank = session.result.bank

        def put(edits: Edits) -> None:
            # The image may have changed since; then only the layer is undone.
            if session.result is not None and session.result.bank is bank:
                session.edits = edits

        def redo() -> None:
            put(after)
            if in_layer is not None:
                in_layer.redo()

        def undo() -> None:
            put(before)
            if in_layer is not None:
                in_layer.undo()

        self.history.do(Action("Keep an object", redo, undo))

    def load(self, recipe: Recipe) -> None:
        """Set the panels as a recipe says."""
        self.session.load(recipe)

    def measure(self, layer: Labels) -> None:
        """Give a layer its table of measurements as features, a moment later."""
        rows, cols = layer.data.shape[-2:]
        planes = np.array(layer.data).reshape(-1, rows, cols)
        link = layer.metadata.get(LINK_KEY)
        if link is not None and layer.ndim == 3:
            size, unit = pixel_size(layer)
            voxel = None if size is None else (float(layer.scale[0]), *size)
            self._measure_later(layer, work.measure_stack, planes, link, voxel, unit)
            return
        result = self.session.result
        recipe = layer.metadata.get(RECIPE_KEY, {})
        ours = result is not None and recipe.get("image", {}).get("key") == result.image.key
        size, unit = pixel_size(layer)
        image = None
        if result is not None and ours:  # its intensities are measured too, in the layer's unit
            image = replace(result.image, pixel_size=size, unit=unit if size else "px")
        # Not one of `jobs`: measuring must not stop a running search.
        self._measure_later(layer, work.measure, planes, image, size, unit)

    def _measure_later(self, layer: Labels, measure: Any, *arguments: Any) -> None:
        worker = make_worker(measure, *arguments)
        worker.returned.connect(partial(_set_features, weakref.ref(layer)))
        worker.start()

    # --- what happened ------------------------------------------------------------------------

    def labels(self) -> Any:
        """Return the objects on show, int32 of shape (H, W); None where there are none."""
        painted = self._current_painting()
        return None if painted is None else painted[1]

    def painting(self) -> Painting | None:
        """Return how the objects on show are painted: which label is which mask."""
        painted = self._current_painting()
        return None if painted is None else painted[0]

    def _current_painting(self) -> tuple[Painting, Any] | None:
        session = self.session
        result, selection = session.result, session.selection
        if result is None or selection is None:
            return None
        known = self._painted
        if known is None or known[0] is not selection or known[1] != session.edits:
            if selection is result.selection and session.edits == result.edits:
                painting, labels = result.painting, result.labels
            else:
                found = session.painting
                assert found is not None
                painting, labels = found, found.whole()
            known = self._painted = (selection, session.edits, painting, labels)
        return known[2:]

    def _on_session_selection(self, *_: Any, reveal: bool = True) -> None:
        labels, painting = self.labels(), self.painting()
        if labels is not None and painting is not None:
            self.layers.preview(labels, painting.keys, reveal=reveal)
            self._save_edits()
        elif self.session.result is not None:
            self.layers.hide(PREVIEW_NAME)

    def _select_elsewhere(self, config: AmgConfig) -> None:
        """Select and paint on another thread; the masks are shown when they are there."""
        session, result = self.session, self.session.result
        assert result is not None
        edits = session.edits

        def take(found: tuple[Selection, Painting, Any]) -> None:
            wanted = session.result is result and session.config == config
            if wanted and session.edits == edits:
                self._painted = (found[0], edits, *found[1:])
                session.selection = found[0]

        worker = make_worker(work.select_and_paint, result.bank, config, edits)
        worker.returned.connect(take)
        worker.start()

    def _decode_elsewhere(self, config: AmgConfig) -> None:
        """Decode the candidates of chosen settings as a job that can be stopped.

        A search goes on: its trials can be looked at when it has ended.
        """
        session, result = self.session, self.session.result
        assert result is not None
        if self.jobs.status.title:
            return
        bank = result.bank

        def take(_: Any) -> None:
            session.decoded(bank, config)

        self.jobs.start(Job("Find the chosen objects", work.decode, (bank, config), on_result=take))

    def _on_hidden(self) -> None:
        if isalive(self._removal_timer):  # not any more while the program ends
            self._removal_timer.start()

    def _on_session_edits(self, *_: Any) -> None:
        result = self.session.result
        if result is not None and result.image.is_large and self.session.selection is not None:
            self._select_elsewhere(self.session.config)
            return
        self._on_session_selection(reveal=self.layers.applied is None)

    def _save_edits(self) -> None:
        """Save the objects on show once they were edited: an edit must not be lost in a crash."""
        preview, recipe = self.layers.preview_layer, self.session.recipe()
        if self.session.edits and preview is not None and recipe is not None:
            name = f"{recipe.image['name']} objects, edited"
            self.autosave.keep_edited(preview, name, recipe.to_dict())

    def _on_layer_removed(self, event: Any) -> None:
        """Let go of everything that was made from an image that is gone."""
        wanted = self._wanted() if self._wanted is not None else None
        if event.value is wanted and self.jobs.status.title == SEGMENT:
            self.jobs.stop()
        if self.image_layer is None or event.value is not self.image_layer:
            return
        self.jobs.stop()
        self._image_layer = None
        self.session.clear()
        if self._cache is not None:
            self._cache.clear_memory()
        # Not now: removed while napari still removes the image, the canvas draws freed memory.
        QTimer.singleShot(0, self.layers.remove_temporary_layers)
        # The last step of a stopped job still holds what it works on.
        self.jobs.when_idle(release_memory)

    def cache(self) -> Any:
        """Return the embedding cache that all jobs of this viewer share."""
        if self._cache is None:
            from napari_samstar.core.models.encoder import default_cache

            self._cache = default_cache()
        return self._cache


def _set_features(layer: weakref.ref[Labels], table: Any) -> None:
    """Give a layer its table, if it is still there."""
    known = layer()
    if known is not None:
        known.features = table


def _undo(viewer: napari.Viewer) -> None:
    controller_of(viewer).history.undo()


def _redo(viewer: napari.Viewer) -> None:
    controller_of(viewer).history.redo()


_controllers: WeakKeyDictionary[napari.Viewer, ViewerController] = WeakKeyDictionary()


def controller_of(viewer: napari.Viewer) -> ViewerController:
    """Return the viewer's desk.

    napari hands plugins a proxy of the viewer, a new one each time: the desk is kept by what the
    proxy wraps.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _controllers:
        _controllers[viewer] = ViewerController(viewer)
    return _controllers[viewer]

"""Keeps the user's labels in the background, and knows what earlier sessions left of an image."""

from __future__ import annotations

import time
import uuid
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_warning
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_samstar.core.results import autosave
from napari_samstar.widgets.viewer.autosave_tasks import (
    EXECUTOR,
    BackgroundTasks,
    digest,
    fits,
    identify,
    is_a_copy,
    load,
    plane_of,
    save,
)
from napari_samstar.widgets.viewer.layer_writer import RECIPE_KEY, TEMPORARY
from napari_samstar.widgets.viewer.layers import Placement, leading_shape

if TYPE_CHECKING:
    import napari

    from napari_samstar.core.results.autosave import SavedLabels, SavedSession
    from napari_samstar.widgets.viewer.layer_writer import LayerWriter

Home = tuple[str, tuple[int, ...] | None]
"""An image by its identity, and a plane of it; None for the whole image."""

SAVE_DELAY = 2000  # ms after the last change before labels are written
LONGEST = 20.0  # s that one goes on changing them before they are written anyway
SHARE = 10
"""Writing takes at most one part in so many of the time: large stacks are written more rarely."""


class AutosaveController:
    """Saves every Labels layer of an image that is open, a moment after it changed.

    `changed` is emitted when there is more or less to go on with.
    """

    changed = Signal()

    def __init__(self, viewer: napari.Viewer, writer: LayerWriter) -> None:
        self.run = uuid.uuid4().hex[:8]
        self._viewer = weakref.ref(viewer)
        self._writer = writer
        self._images: WeakKeyDictionary[Image, str] = WeakKeyDictionary()
        self._found: WeakKeyDictionary[Image, tuple[SavedSession, ...]] = WeakKeyDictionary()
        self._digests: WeakKeyDictionary[Labels, str] = WeakKeyDictionary()
        self._homes: WeakKeyDictionary[Labels, Home] = WeakKeyDictionary()
        self._names: WeakKeyDictionary[Labels, str] = WeakKeyDictionary()
        self._dirty: dict[Labels, None] = {}
        self._since = self._not_before = 0.0
        self._said = ""
        self._background = BackgroundTasks()
        self._timer = QTimer(self._background)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.save)
        events = viewer.layers.events
        events.inserted.connect(self._on_inserted)
        events.removed.connect(self._on_removed)
        for layer in viewer.layers:
            self._watch(layer)

    # --- saving -------------------------------------------------------------------------------

    def save(self) -> None:
        """Write what has changed, off the GUI thread."""
        viewer = self._viewer()
        now = time.monotonic()
        if viewer is None:
            self._dirty = {}
            return
        if now < self._not_before:
            self._timer.start(int(1000 * (self._not_before - now)) + 1)
            return
        waiting, self._dirty = list(self._dirty), {}
        for layer in waiting:
            if layer in viewer.layers:
                self._write(layer)
            else:
                self._set_aside(layer)

    def _write(self, layer: Labels) -> None:
        home = self._home(layer)
        if home is None or not isinstance(layer.data, np.ndarray):
            return
        image, plane = home
        before = self._names.get(layer, layer.name)
        if before != layer.name:
            EXECUTOR.submit(autosave.set_aside, image, self.run, before)
        self._names[layer] = layer.name
        work = autosave.SavedLabels(
            layer.name, layer.data, plane, layer.metadata.get(RECIPE_KEY, {})
        )
        writing = partial(save, image, self.run, work, self._digests.get(layer, ""))
        self._background.submit(writing, partial(self._on_saved, weakref.ref(layer)))

    def _on_saved(self, known: weakref.ref[Labels], outcome: tuple[str, float, str]) -> None:
        digest, seconds, problem = outcome
        layer = known()
        if layer is not None and not problem:
            self._digests[layer] = digest
        self._not_before = time.monotonic() + SHARE * seconds
        if problem and problem != self._said:
            show_warning(problem)
        self._said = problem

    def _set_aside(self, layer: Labels) -> None:
        """Note that a layer was removed while its image stayed: it was not the viewer that closed.

        It is not offered with the others then.
        """
        viewer = self._viewer()
        if viewer is None or layer not in self._homes:
            return
        image, _ = self._homes[layer]
        if any(image == self._images.get(x) for x in viewer.layers if isinstance(x, Image)):
            EXECUTOR.submit(autosave.set_aside, image, self.run, layer.name)
            self._digests.pop(layer, None)

    def _home(self, layer: Labels) -> Home | None:
        """Return the image that labels belong to, and their plane; None where there is none.

        The topmost image of their size. Once known it is remembered: while a viewer closes, the
        image may be gone first.
        """
        viewer = self._viewer()
        images = [x for x in reversed(viewer.layers) if isinstance(x, Image)] if viewer else []
        for image in images:
            name = self._images.get(image)
            if name is not None and image.ndim == layer.ndim and fits(layer, image):
                self._homes[layer] = (name, plane_of(layer, image))
                break
        return self._homes.get(layer)

    # --- going on -----------------------------------------------------------------------------

    def saved_sessions(self) -> list[tuple[Image, SavedSession]]:
        """Return what can be gone on with, for the images in the viewer, newest first."""
        viewer = self._viewer()
        images = list(viewer.layers) if viewer is not None else []
        found = [(x, s) for x in images if isinstance(x, Image) for s in self._found.get(x, ())]
        return sorted(found, key=lambda offer: offer[1].when, reverse=True)

    def go_on(self, image: Image, session: SavedSession) -> None:
        """Bring the layers of a session back, as steps that can be undone."""
        self.dismiss(image, session)
        for saved in session.layers:
            self._background.submit(
                partial(load, saved), partial(self._on_loaded, weakref.ref(image))
            )

    def dismiss(self, image: Image, session: SavedSession) -> None:
        """Offer a session no more, until the image is opened again."""
        self._found[image] = tuple(s for s in self._found.get(image, ()) if s is not session)
        self.changed.emit()

    def _on_loaded(self, known: weakref.ref[Image], work: SavedLabels | str) -> None:
        image = known()
        if isinstance(work, str):
            show_warning(work)
            return
        if image is None or not self._writer.contains(image):
            return
        place = Placement.of(image, work.plane or (0,) * len(leading_shape(image)))
        whole = work.plane is None and bool(leading_shape(image))
        transform = place.stack_transform if whole else place.transform
        metadata = {RECIPE_KEY: work.recipe} if work.recipe else {}
        layer = Labels(work.labels, name=work.name, metadata=metadata, **transform)
        self._writer.add(layer, f"Go on with {work.name}")

    # --- what happened ------------------------------------------------------------------------

    def _on_inserted(self, event: Any) -> None:
        self._watch(event.value)

    def _watch(self, layer: Any) -> None:
        if isinstance(layer, Image):
            layer.events.data.connect(self._look_at)
            self._look(layer)
        elif isinstance(layer, Labels) and layer.name not in TEMPORARY:
            for event in (layer.events.data, layer.events.paint, layer.events.set_data):
                event.connect(self._on_changed)
            self._touch(layer)
            if is_a_copy(layer) and layer not in self._digests:
                self._background.submit(
                    partial(digest, layer.data), partial(self._on_digest, weakref.ref(layer))
                )

    def _look_at(self, event: Any) -> None:
        self._look(event.source)

    def _look(self, image: Image) -> None:
        """Learn what the image is, and what was left of it."""
        work = partial(identify, image.data, bool(image.rgb), self.run)
        self._background.submit(work, partial(self._on_identified, weakref.ref(image)))

    def _on_identified(self, known: weakref.ref[Image], found: Any) -> None:
        image, viewer = known(), self._viewer()
        if image is None or found is None or viewer is None or image not in viewer.layers:
            return
        self._images[image], self._found[image] = found
        for layer in viewer.layers:
            if isinstance(layer, Labels) and layer.name not in TEMPORARY:
                self._touch(layer)
        self.changed.emit()

    def _on_digest(self, known: weakref.ref[Labels], digest: str) -> None:
        layer = known()
        if layer is not None:
            self._digests.setdefault(layer, digest)

    def _on_changed(self, event: Any) -> None:
        self._touch(event.source)

    def _touch(self, layer: Labels) -> None:
        if layer.name in TEMPORARY:
            return
        now = time.monotonic()
        if not self._dirty:
            self._since = now
        self._dirty[layer] = None
        if not self._timer.isActive() or now - self._since < LONGEST:
            self._timer.start(SAVE_DELAY)

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if not isinstance(layer, Labels) or layer.name in TEMPORARY:
            return
        if layer in self._dirty:
            self._write(layer)  # now: the viewer may be closing
        self._touch(layer)

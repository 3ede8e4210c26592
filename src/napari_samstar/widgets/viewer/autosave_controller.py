"""Saves the user's labels in the background, and restores those of earlier sessions."""

from __future__ import annotations

import time
import uuid
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_warning
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_samstar.core.results import autosave
from napari_samstar.widgets.viewer.autosave_tasks import (
    EXECUTOR,
    BackgroundTasks,
    identify_image,
    is_copy_of_file,
    labels_digest,
    load_labels,
    save_labels,
)
from napari_samstar.widgets.viewer.layer_writer import RECIPE_KEY, TEMPORARY
from napari_samstar.widgets.viewer.layers import (
    Placement,
    labels_fit_image,
    labels_plane,
    leading_shape,
)

if TYPE_CHECKING:
    import napari

    from napari_samstar.core.results.autosave import SavedLabels, SavedSession
    from napari_samstar.widgets.viewer.layer_writer import LayerWriter

ImagePlane = tuple[str, tuple[int, ...] | None]
"""Identity of an image, and a plane of it; None for the whole image."""

SAVE_DELAY = 2000  # ms between the last change and saving
MAX_SAVE_DELAY = 20.0  # s after which labels are saved although changes continue
PAUSE_FACTOR = 10
"""The pause after saving, as a multiple of the time that it took: large stacks are saved rarely."""


class AutosaveController:
    """Saves every Labels layer of an open image shortly after it has changed.

    Attributes
    ----------
    run : str
        Key of this session.
    changed : Signal
        Emitted when `saved_sessions` has changed.
    """

    changed = Signal()

    def __init__(self, viewer: napari.Viewer, writer: LayerWriter) -> None:
        self.run = uuid.uuid4().hex[:8]
        self._viewer = weakref.ref(viewer)
        self._writer = writer
        self._images: WeakKeyDictionary[Image, str] = WeakKeyDictionary()
        self._sessions: WeakKeyDictionary[Image, tuple[SavedSession, ...]] = WeakKeyDictionary()
        self._digests: WeakKeyDictionary[Labels, str] = WeakKeyDictionary()  # as saved last
        self._digest_pending: WeakSet[Labels] = WeakSet()  # copies of files
        self._planes: WeakKeyDictionary[Labels, ImagePlane] = WeakKeyDictionary()
        self._names: WeakKeyDictionary[Labels, str] = WeakKeyDictionary()  # as saved last
        self._edited: WeakKeyDictionary[Labels, tuple[str, dict[str, Any]]] = WeakKeyDictionary()
        self._changed_layers: dict[Labels, None] = {}  # in order
        self._first_change = self._next_save = 0.0  # time.monotonic()
        self._last_problem = ""
        self._background = BackgroundTasks()
        self._timer = QTimer(self._background)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.save)
        events = viewer.layers.events
        events.inserted.connect(self._on_layer_inserted)
        events.removed.connect(self._on_layer_removed)
        for layer in viewer.layers:
            self._watch(layer)

    # --- saving -------------------------------------------------------------------------------

    def save(self) -> None:
        """Save all layers that have changed, off the GUI thread."""
        viewer = self._viewer()
        now = time.monotonic()
        if viewer is None:
            self._changed_layers = {}
            return
        if now < self._next_save:
            self._timer.start(int(1000 * (self._next_save - now)) + 1)
            return
        layers, self._changed_layers = list(self._changed_layers), {}
        for layer in layers:
            if layer in self._digest_pending:  # perhaps not changed at all, see `_on_digest`
                self._changed_layers[layer] = None
            elif layer in viewer.layers:
                self._save_layer(layer)
            else:
                self._discard_removed(layer)

    def keep_edited(self, preview: Labels, name: str, recipe: dict[str, Any]) -> None:
        """Save the objects on show as well: the user has edited them, and not applied them yet.

        Parameters
        ----------
        name : str
            Under which they are offered in a later session.
        """
        self._edited[preview] = name, recipe
        self._schedule_save(preview)

    def drop_edited(self, preview: Labels) -> None:
        """Do not offer the objects on show any more: they are in a layer of the user."""
        if preview not in self._edited:
            return
        name = self._edited[preview][0]
        del self._edited[preview]
        if preview in self._planes:
            EXECUTOR.submit(autosave.mark_removed, self._planes[preview][0], self.run, name)
        self._digests.pop(preview, None)

    def _is_saved(self, layer: Labels) -> bool:
        return layer.name not in TEMPORARY or layer in self._edited

    def _save_layer(self, layer: Labels) -> None:
        image_plane = self._image_plane(layer)
        if image_plane is None or not isinstance(layer.data, np.ndarray):
            return
        image, plane = image_plane
        own = str(layer.name), layer.metadata.get(RECIPE_KEY, {})
        name, recipe = self._edited.get(layer, own)
        before = self._names.get(layer) or name
        if before != name:
            EXECUTOR.submit(autosave.mark_removed, image, self.run, before)
        self._names[layer] = name
        labels = autosave.SavedLabels(name, layer.data, plane, recipe)
        work = partial(save_labels, image, self.run, labels, self._digests.get(layer, ""))
        self._background.submit(work, partial(self._on_saved, weakref.ref(layer)))

    def _on_saved(self, reference: weakref.ref[Labels], outcome: tuple[str, float, str]) -> None:
        digest, seconds, problem = outcome
        layer = reference()
        if layer is not None and not problem:
            self._digests[layer] = digest
        self._next_save = time.monotonic() + PAUSE_FACTOR * seconds
        if problem and problem != self._last_problem:
            show_warning(problem)
        self._last_problem = problem

    def _discard_removed(self, layer: Labels) -> None:
        """Do not offer a layer any more that was removed while its image is still open.

        If the image is gone too, the viewer was closed, and the layer stays on offer.
        """
        viewer = self._viewer()
        if viewer is None or layer not in self._planes:
            return
        image, _ = self._planes[layer]
        if any(image == self._images.get(x) for x in viewer.layers if isinstance(x, Image)):
            EXECUTOR.submit(autosave.mark_removed, image, self.run, layer.name)
            self._digests.pop(layer, None)

    def _image_plane(self, layer: Labels) -> ImagePlane | None:
        """Return the topmost image that has the size of the labels, and their plane of it.

        The result is remembered, because the image may be removed first while a viewer closes.
        None if there has never been such an image.
        """
        viewer = self._viewer()
        images = [x for x in reversed(viewer.layers) if isinstance(x, Image)] if viewer else []
        for image in images:
            name = self._images.get(image)
            if name is not None and image.ndim == layer.ndim and labels_fit_image(layer, image):
                self._planes[layer] = (name, labels_plane(layer, image))
                break
        return self._planes.get(layer)

    # --- restoring ----------------------------------------------------------------------------

    def saved_sessions(self) -> list[tuple[Image, SavedSession]]:
        """Return the earlier sessions of the open images that can be restored, newest first."""
        viewer = self._viewer()
        images = [x for x in viewer.layers if isinstance(x, Image)] if viewer is not None else []
        found = [(image, s) for image in images for s in self._sessions.get(image, ())]
        return sorted(found, key=lambda pair: pair[1].when, reverse=True)

    def restore(self, image: Image, session: SavedSession) -> None:
        """Add the layers of a session to the viewer; each can be undone."""
        self.dismiss(image, session)
        for saved in session.layers:
            done = partial(self._on_loaded, weakref.ref(image))
            self._background.submit(partial(load_labels, saved), done)

    def dismiss(self, image: Image, session: SavedSession) -> None:
        """Remove a session from `saved_sessions` until the image is opened again."""
        self._sessions[image] = tuple(s for s in self._sessions.get(image, ()) if s is not session)
        self.changed.emit()

    def _on_loaded(self, reference: weakref.ref[Image], loaded: SavedLabels | str) -> None:
        image = reference()
        if isinstance(loaded, str):
            show_warning(loaded)
            return
        if image is None or not self._writer.contains(image):
            return
        placement = Placement.of(image, loaded.plane or (0,) * len(leading_shape(image)))
        whole = loaded.plane is None and bool(leading_shape(image))
        transform = placement.stack_transform if whole else placement.transform
        metadata = {RECIPE_KEY: loaded.recipe} if loaded.recipe else {}
        layer = Labels(loaded.labels, name=loaded.name, metadata=metadata, **transform)
        self._writer.add(layer, f"Restore {loaded.name}")

    # --- events -------------------------------------------------------------------------------

    def _on_layer_inserted(self, event: Any) -> None:
        self._watch(event.value)

    def _watch(self, layer: Any) -> None:
        """Connect to the events of an image or of the user's labels."""
        if isinstance(layer, Image):
            layer.events.data.connect(self._on_image_changed)
            self._identify(layer)
        elif isinstance(layer, Labels) and layer.name not in TEMPORARY:
            for event in (layer.events.data, layer.events.paint, layer.events.set_data):
                event.connect(self._on_labels_changed)
            self._schedule_save(layer)
            if is_copy_of_file(layer) and layer not in self._digests:
                self._digest_pending.add(layer)
                done = partial(self._on_digest, weakref.ref(layer))
                self._background.submit(partial(labels_digest, layer.data), done)

    def _on_image_changed(self, event: Any) -> None:
        self._identify(event.source)

    def _identify(self, image: Image) -> None:
        """Find out the identity of an image and its saved sessions, off the GUI thread."""
        work = partial(identify_image, image.data, bool(image.rgb), self.run)
        self._background.submit(work, partial(self._on_identified, weakref.ref(image)))

    def _on_identified(self, reference: weakref.ref[Image], found: Any) -> None:
        image, viewer = reference(), self._viewer()
        if image is None or found is None or viewer is None or image not in viewer.layers:
            return
        self._images[image], self._sessions[image] = found
        for layer in viewer.layers:
            if isinstance(layer, Labels):
                self._schedule_save(layer)
        self.changed.emit()

    def _on_digest(self, reference: weakref.ref[Labels], digest: str) -> None:
        layer = reference()
        if layer is not None:
            self._digests.setdefault(layer, digest)
            self._digest_pending.discard(layer)
            if layer in self._changed_layers:
                self._schedule_save(layer)

    def _on_labels_changed(self, event: Any) -> None:
        self._schedule_save(event.source)

    def _schedule_save(self, layer: Labels) -> None:
        if not self._is_saved(layer):
            return
        now = time.monotonic()
        if not self._changed_layers:
            self._first_change = now
        self._changed_layers[layer] = None
        if not self._timer.isActive() or now - self._first_change < MAX_SAVE_DELAY:
            self._timer.start(SAVE_DELAY)

    def _on_layer_removed(self, event: Any) -> None:
        layer = event.value
        if not isinstance(layer, Labels) or not self._is_saved(layer):
            return
        if layer in self._changed_layers:
            self._save_layer(layer)  # at once, because the viewer may be closing
        self._schedule_save(layer)

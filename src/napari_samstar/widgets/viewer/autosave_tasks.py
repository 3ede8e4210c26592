"""What the keeper of labels runs on its thread, and how labels and images belong together."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_samstar.core.errors import UserError
from napari_samstar.core.results import autosave
from napari_samstar.widgets.viewer.layers import leading_shape

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_samstar.core.results.autosave import Saved, SavedLabels, SavedSession

log = logging.getLogger("napari_samstar")

EXECUTOR = ThreadPoolExecutor(1, thread_name_prefix="samstar-autosave")
"""Python waits for its thread at the end, so that what was changed last is written too."""


class BackgroundTasks(QObject):
    """Runs short work on the thread, one after another, and brings the outcome back."""

    _arrived = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._arrived.connect(lambda call: call())

    def submit(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Run `work` on the thread, then `done` with its result on the GUI thread."""

        def deliver(future: Future[Any]) -> None:
            error = future.exception()
            if error is not None:
                log.error("autosave failed", exc_info=error)
                return
            try:
                self._arrived.emit(partial(done, future.result()))
            except RuntimeError:  # napari has ended meanwhile
                log.debug("nobody is left to hear of an autosave")

        EXECUTOR.submit(work).add_done_callback(deliver)


def fits(labels: Labels, image: Image) -> bool:
    """Return whether labels cover an image, or one plane of it, pixel by pixel."""
    whole = image.data[0].shape if image.multiscale else image.data.shape
    rows, cols = whole[-3:-1] if image.rgb else whole[-2:]
    ahead = labels.data.shape[:-2]
    return labels.data.shape[-2:] == (rows, cols) and (
        ahead == leading_shape(image) or all(n == 1 for n in ahead)
    )


def plane_of(labels: Labels, image: Image) -> tuple[int, ...] | None:
    """Return the plane of a stack that labels lie on; None where they cover all of it."""
    ahead = leading_shape(image)
    if not ahead or labels.data.shape[:-2] == ahead:
        return None
    at = image.world_to_data(labels.data_to_world((0,) * labels.ndim))[: len(ahead)]
    return tuple(int(np.clip(round(x), 0, n - 1)) for x, n in zip(at, ahead, strict=True))


def is_a_copy(layer: Labels) -> bool:
    """Return whether labels came from a file or a sample: nothing is lost before they change."""
    return bool(layer.source.path or layer.source.sample)


def digest(data: Any) -> str:
    """Return the digest by which labels are told apart."""
    return autosave.SavedLabels("", np.asarray(data)).digest


def identify(data: Any, rgb: bool, run: str) -> tuple[str, tuple[SavedSession, ...]] | None:
    """Return the identity of an image and the sessions saved for it; None where it is unknown."""
    try:
        name = autosave.identity(data, rgb=rgb)
    except Exception as error:  # whatever lazy data raise: they are no reason to disturb anyone
        log.warning("an image cannot be told: %s", error)
        return None
    return name, autosave.find(name, but=run)


def save(image: str, run: str, work: SavedLabels, before: str) -> tuple[str, float, str]:
    """Write where anything changed; returns the digest, the seconds it took, and the problem."""
    start = time.monotonic()
    digest = work.digest
    problem = ""
    if digest != before and work.labels.any():
        try:
            autosave.save(image, run, work)
        except UserError as error:
            problem = str(error)
    return digest, time.monotonic() - start, problem


def load(saved: Saved) -> SavedLabels | str:
    """Return saved labels, or one sentence that says why they cannot be read."""
    try:
        return autosave.load(saved)
    except UserError as error:
        return str(error)

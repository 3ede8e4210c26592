"""Tasks of the autosave thread."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_samstar.core.errors import UserError
from napari_samstar.core.results import autosave

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels

    from napari_samstar.core.results.autosave import SavedFile, SavedLabels, SavedSession

log = logging.getLogger("napari_samstar")

EXECUTOR = ThreadPoolExecutor(1, thread_name_prefix="samstar-autosave")
"""Python waits for its thread at exit, so that the last changes are written too."""


class BackgroundTasks(QObject):
    """Runs short functions on the autosave thread, and their callbacks on the GUI thread."""

    _finished = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._finished.connect(lambda callback: callback())

    def submit(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Call `work` on the thread, then `done` with its result on the GUI thread."""

        def deliver(future: Future[Any]) -> None:
            error = future.exception()
            if error is not None:
                log.error("autosave failed", exc_info=error)
                return
            try:
                self._finished.emit(partial(done, future.result()))
            except RuntimeError:  # Qt has deleted this object because napari has ended
                log.debug("the program ended before an autosave did")

        EXECUTOR.submit(work).add_done_callback(deliver)


def is_copy_of_file(layer: Labels) -> bool:
    """Return whether labels came from a file or a sample: nothing is lost until they change."""
    return bool(layer.source.path or layer.source.sample)


def labels_digest(data: Any) -> str:
    """Return a digest of labels, to detect changes."""
    return autosave.SavedLabels("", np.asarray(data)).digest


def identify_image(data: Any, rgb: bool, run: str) -> tuple[str, tuple[SavedSession, ...]] | None:
    """Return an image's identity and the sessions saved for it, without those of `run`.

    None if the data cannot be read.
    """
    try:
        name = autosave.image_id(data, rgb=rgb)
    except Exception as error:  # lazy data may raise anything; autosave must not disturb the user
        log.warning("an image cannot be identified: %s", error)
        return None
    return name, autosave.find(name, exclude_run=run)


def save_labels(image: str, run: str, labels: SavedLabels, before: str) -> tuple[str, float, str]:
    """Write labels unless they are empty or their digest is `before`.

    Returns
    -------
    digest : str
        Of the labels.
    seconds : float
        Time that it took.
    problem : str
        Message for the user, empty if all went well.
    """
    start = time.monotonic()
    digest = labels.digest
    problem = ""
    if digest != before and labels.labels.any():
        try:
            autosave.save(image, run, labels)
        except UserError as error:
            problem = str(error)
    return digest, time.monotonic() - start, problem


def load_labels(saved: SavedFile) -> SavedLabels | str:
    """Return saved labels, or a message for the user if they cannot be read."""
    try:
        return autosave.load(saved)
    except UserError as error:
        return str(error)

"""Python's garbage collector, kept from blocking the window.

A full collection visits every object, which takes a third of a second once torch is loaded, and
holds the interpreter lock during that time.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Disable the collector in the block, and treat the objects made in it as old afterwards.

    For imports, whose objects stay.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        with _objects_frozen():  # unfreezing moves all objects to the oldest generation
            pass
        gc.enable()


@contextmanager
def gc_new_objects_only() -> Iterator[None]:
    """Restrict collections in the block to objects made in it; later ones see all objects again.

    For the removal of a layer, after which napari requests a collection so that graphics drivers
    on Windows find nothing left of the layer. On Windows the collection is a full one.
    """
    if sys.platform == "win32":
        yield
        return
    with _objects_frozen():
        yield


@contextmanager
def _objects_frozen() -> Iterator[None]:
    """Hide the objects that exist from the collector."""
    if gc.get_freeze_count():  # frozen by other code, which must find them frozen afterwards
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()

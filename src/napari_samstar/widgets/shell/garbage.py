"""Python's search for garbage, kept from holding up the window.

It goes through every object there is, which takes a third of a second once torch is loaded, and
holds the interpreter lock meanwhile.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Do not search for garbage in the block, nor among what was made in it.

    For imports: what they make stays.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        with _set_aside():  # afterwards all count as old, which Python looks at rarely
            pass
        gc.enable()


@contextmanager
def gc_new_objects_only() -> Iterator[None]:
    """Let a search in the block look at new objects only; the next one outside sees all again.

    For removing a layer: napari then asks for a search, so that drivers on Windows do not trip
    over what is left of the layer. There it gets a whole one.
    """
    if sys.platform == "win32":
        yield
        return
    with _set_aside():
        yield


@contextmanager
def _set_aside() -> Iterator[None]:
    if gc.get_freeze_count():  # someone else's, who would not want it thawed
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()

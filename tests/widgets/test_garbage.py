"""Python's garbage collector can be paused, or restricted to new objects, in a block."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest

from napari_samstar.widgets.shell.garbage import gc_new_objects_only, gc_paused


class Cycle:
    """An object that only the garbage collector frees."""

    def __init__(self) -> None:
        self.reference = self


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows every collection is a full one")
def test_a_restricted_collection_frees_new_objects_only() -> None:
    old = weakref.ref(Cycle())
    with gc_new_objects_only():
        new = weakref.ref(Cycle())
        gc.collect()
        assert new() is None
        assert old() is not None
    gc.collect()
    assert old() is None


def test_a_pause_restores_the_state_of_the_collector() -> None:
    with gc_paused():
        assert not gc.isenabled()
        with gc_paused():
            pass
        assert not gc.isenabled()
        cycle = weakref.ref(Cycle())
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert gc.get_count()[1:] == (0, 0), "new objects count as old"
    gc.collect()
    assert cycle() is None


def test_objects_frozen_by_other_code_stay_frozen() -> None:
    gc.freeze()
    try:
        with gc_new_objects_only(), gc_paused():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()

"""Old objects are spared a search for garbage in a block, and no longer."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest

from napari_samstar.widgets.shell.garbage import gc_new_objects_only, gc_paused


class Knot:
    """Only a search for garbage frees it."""

    def __init__(self) -> None:
        self.me = self


@pytest.mark.skipif(sys.platform == "win32", reason="there every search is a whole one")
def test_a_quick_collection_frees_new_knots_and_the_next_one_all() -> None:
    old = weakref.ref(Knot())
    with gc_new_objects_only():
        new = weakref.ref(Knot())
        gc.collect()
        assert new() is None
        assert old() is not None
    gc.collect()
    assert old() is None


def test_no_collections_leaves_the_collector_as_it_was() -> None:
    with gc_paused():
        assert not gc.isenabled()
        with gc_paused():
            pass
        assert not gc.isenabled()
        knot = weakref.ref(Knot())
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert gc.get_count()[1:] == (0, 0), "what was made counts as old"
    gc.collect()
    assert knot() is None


def test_what_someone_else_froze_stays_frozen() -> None:
    gc.freeze()
    try:
        with gc_new_objects_only(), gc_paused():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
